"""Small trainings that tests share: recipes, images, and a network on its way."""

from typing import Any

import torch
from torch.utils.data import TensorDataset

from advbench.training.feed import TrainingImages
from advbench.training.loop import train
from advbench.training.recipe import Perturbation, Recipe
from advbench.training.state import TrainingState, begin
from tests.small import Network

CPU = torch.device("cpu")


APART_SETTINGS = Perturbation(groups=4, ratio=0.5)


RECIPES = {
    "plain": Recipe(epochs=4, batch_size=16, lr=0.05),
    "apart": Recipe(epochs=4, batch_size=16, lr=0.05, drop_last=True, apart=APART_SETTINGS),
    "cosine": Recipe(epochs=4, batch_size=16, lr=0.05, schedule="cosine", augment="crop-flip"),
    "bfloat16": Recipe(
        epochs=2, batch_size=16, lr=0.05, precision="bfloat16", drop_last=True, apart=APART_SETTINGS
    ),
    "float16": Recipe(epochs=2, batch_size=16, lr=0.05, precision="float16"),
}


def images() -> TrainingImages:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 4, 4, generator=generator)
    y = (x.mean((1, 2, 3)) * 3).long().clamp(0, 2)
    return TrainingImages(images=TensorDataset(x, y), indices=range(50), held_out=range(50, 60))


def fresh(recipe: Recipe) -> TrainingState:
    torch.manual_seed(1)
    return begin(Network().train(), recipe, CPU)


def trained(recipe: Recipe, **options: Any) -> TrainingState:
    training = fresh(recipe)
    train(training, images(), recipe, CPU, **options)
    return training
