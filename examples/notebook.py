# %% [markdown]
# # Is it robust, or is only its gradient hidden?
#
# A script with cells: VS Code, PyCharm and Jupyter (by jupytext) open it as a notebook. It needs
# `pip install 'advbench[figures]'`, downloads nothing, and writes to `runs/notebook` in the current folder.

# %%
from pathlib import Path

import torch

import advbench as ab

home = Path("runs/notebook")
home.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# A model is any module from pixels in [0, 1] to logits, and data are any pairs of image and label. The names
# of the command line load both; a module and tensors of your own do as well.

# %%
model = ab.load_model("digits-cnn")
images = ab.load_data("digits", limit=60)
x = torch.stack([images[index][0] for index in range(len(images))])
y = torch.tensor(images.labels)
print(f"{(model(x).argmax(1) == y).sum()} of {len(y)} images are right")


# %% [markdown]
# Two defenses: one by its name, and one that is a function of your own.


# %%
def posterized(x: torch.Tensor) -> torch.Tensor:
    """Five levels a pixel."""
    return (x * 4).round() / 4


run = ab.run(
    model={"digits-cnn": model},
    data={"digits": (x, y)},
    defenses=["bit-depth:bits=3", posterized],
    attacks=[ab.attack("pgd", steps=20)],
    eps=0.15,
    ladder=True,
    gradient_free="square:queries=100",
    save_adversarial=True,
    out=home / "run",
)
run

# %%
print(run.table())
run.verdicts

# %%
run.frame[["defense", "clean_accuracy", "shattered_accuracy", "bpda_accuracy", "worst_accuracy"]]

# %% [markdown]
# The figure as a file; in a notebook, `IPython.display.Image(run.figure("ladder"))`.

# %%
(home / "ladder.png").write_bytes(run.figure("ladder"))

# %% [markdown]
# One image that falls to BPDA, which is a clean image and its perturbation.

# %%
kept = next(examples for examples in run.examples if examples.cell.rung == "bpda")
example, clean = kept.x_adv[0], x[kept.indices[0]]
print(f"{kept.cell.defense}: image {kept.indices[0]}, label {y[kept.indices[0]]}")
print(f"largest change of a pixel: {(example - clean).abs().max():.3f}")
pixels = (torch.cat([clean, example], dim=2)[0] * 16).round().int()
print(
    "\n".join("".join(" .:-=+*#%@"[min(9, int(value) * 10 // 17)] * 2 for value in line) for line in pixels)
)

# %% [markdown]
# A sweep: two radii, two attacks, one table. Accuracy against the radius is a curve.

# %%
sweep = ab.sweep(
    {
        "threats": ["linf 0.1", "linf 0.2"],
        "defenses": ["round"],
        "attacks": ["fgsm", "pgd:steps=20"],
        "defaults": {"limit": 40, "bpda": True},
    },
    out=home / "sweep",
)
sweep

# %%
curve = ab.curve(model="digits-cnn", limit=40, eps=[0.05, 0.1, 0.2], steps=20, out=home / "curve")
print([(row.eps, row.rates["shattered"].count) for row in curve.rows])

# %% [markdown]
# A run is its folder: it opens again anywhere, without the model.

# %%
again = ab.open_run(home / "run")
print(again == run, again.notes)
