"""What the tests of a sweep's file share: every setting with a value, and faults with their lines."""

from pathlib import Path
from typing import Any

from advbench.jobs.sweep.cells import Cell, make_cells
from advbench.jobs.sweep.file import Grid, read_grid

ROOT = Path(__file__).parents[3]
SWEEPS = sorted((ROOT / "sweeps").glob("*.toml"))


def file_of(text: str) -> Grid:
    Path("sweep.toml").write_text(text)
    return read_grid(Path("sweep.toml"))


def cells_of(text: str) -> list[Cell]:
    return make_cells(file_of(text))


VALUES: dict[str, Any] = {
    "checkpoint": "weights.pt",
    "model": "resnet20",
    "black_box": False,
    "black_box_form": "nhwc,uint8",
    "max_queries": 1000,
    "max_rate": 10,
    "retries": 2,
    "retry_wait": 2,
    "weights": "model_ema",
    "mean": [0.5, 0.25],
    "std": "1,1",
    "normalization": "half",
    "trust_program": True,
    "smooth": "sigma=0.1,draws=20",
    "random_model": True,
    "member": ["second.pt", "third.pt"],
    "space": "image",
    "surrogate": "distill",
    "source": "none",
    "dataset": "mnist",
    "data_root": "data/mnist",
    "split": "train",
    "download": True,
    "image_size": 32,
    "channels": 1,
    "image_column": "picture",
    "label_column": "fine_label",
    "classes": "names.txt",
    "class_index": "imagenet_class_index.json",
    "limit": 30,
    "first": 20,
    "defense": ["round", "none"],
    "fpr": 0.1,
    "reject_class": "10",
    "bpda": True,
    "ladder": True,
    "test": ["binarization"],
    "rungs": "static,worst",
    "gradient_free": "square:queries=9",
    "label_only": "hard-label:queries=9",
    "substitute": "smooth",
    "calibration": 20,
    "attack": "fgsm",
    "norm": "l2",
    "eps": 0.5,
    "steps": 7,
    "step_size": "2/255",
    "restarts": 3,
    "random_start": False,
    "eot": 4,
    "judge_draws": 5,
    "judge": "any:3",
    "fast": False,
    "precision": "bf16",
    "compile": True,
    "seed": 0,
    "batch_size": 16,
    "device": "cpu",
    "save_adversarial": True,
    "successful_only": True,
    "format": "json",
}


FAULTS: list[tuple[str, int, str]] = [
    ('\nmodels = "digits-cnn"', 2, "models must be a list"),
    ("a = 1\n", 1, "a sweep has no 'a'. Known:"),
    ("\n\nsteps = 3", 3, "a sweep has no 'steps'. It belongs into [defaults]."),
    ("[defaults]\nseed = 1\nstep = 3", 3, "there is no setting 'step'. Did you mean 'steps'"),
    ("[defaults]\ndata-root = 'x'", 2, "Did you mean 'data_root'"),
    ("[defaults]\nquiet = true", 2, "there is no setting 'quiet'"),
    ("[defaults]\nsteps = 'many'", 2, "steps: it must be a whole number from 1 to 1,000,000,000, got 'many'"),
    ("[defaults]\nsteps = true", 2, "steps: it must be a whole number"),
    ("[defaults]\nsteps = 0", 2, "steps: it must be a whole number from 1 to 1,000,000,000, got 0"),
    ("[defaults]\nbpda = 'yes'", 2, "bpda: it must be true or false"),
    ("[defaults]\nmodel = ['a', 'b']", 2, "model: it must be a text, a number, or a list of numbers"),
    ("[defaults]\ndefense = 'round'", 2, 'defense stands in a list of its own: defenses = ["..."]'),
    ("[defaults]\nnorm = 'linf2'", 2, "norm: it must be one of linf, l2, l1"),
    ("threats = [\n '0.1',\n 'l3 0.1']", 3, "norm: it must be one of"),
    ("threats = [\n '0.1',\n '8']", 3, "eps: eps must lie in (0, 1] for linf, got 8. Did you mean 8/255?"),
    ("threats = []", 1, "threats must be a list of texts and tables, got []"),
    ("defenses = ['none',\n 'rond']", 2, "defense: there is no defense called 'rond'. Did you mean 'round'"),
    ("defenses = ['round',\n 'bit-depth:bits=99']", 2, "bits"),
    ("defenses = ['round', 3]", 1, "an entry of defenses must be a text or a table, got 3"),
    ("defenses = [{ eot = 3 }]", 1, 'an entry of defenses must say which: defense = "..."'),
    ("[[defenses]]\neot = 3\ndefense = ['a']", 3, "defense: it must be a text"),
    ("attacks = ['pgd',\n'pdg']", 2, "attack: there is no attack called 'pdg'"),
    ("attacks = ['pgd:steps=x']", 1, "attack: pgd: steps must be a whole number"),
    ("attacks = ['pgd@logits']", 1, "an attack has no place"),
    ("attacks = ['square']\n[defaults]\nsteps = 3", 3, "steps fits none of the attacks"),
    ("[defaults]\nlimit = 3\nfirst = 3", 2, "give --limit or --first, not both"),
    ("[defaults]\nseed = 1\nmean = [0]", 3, "give --mean and --std together"),
    ("[defaults]\nbatch_size = 'big'", 2, "--batch-size must be auto or a whole number"),
    ("[defaults]\nsuccessful_only = true", 2, "give both"),
    ("[defaults]\nformat = 'pdf'", 2, "there is no format 'pdf'"),
    ("[defaults]\ndevice = 'gpu'", 2, "--device gpu cannot be used"),
    ("[defaults]\ndataset = 'digit'", 2, "there is no dataset called 'digit'"),
    ("[defaults]\ndataset = 'mnist'", 2, "there is no such folder; give --data-root"),
    (
        "[[models]]\n[[models]]\nmodel = 'resnet21'\ndataset = 'digits'",
        3,
        "there is no model called 'resnet21'",
    ),
    ("models = ['lenet5']", 1, "name the data set of your model"),
    ("[[models]]\nmodel = './none.py:make'\ndataset = 'digits'", 2, "there is no file './none.py'"),
    ("[[models]]\nseed = 1\ncheckpoint = 'none.pt'\ndataset = 'digits'", 3, "there is no checkpoint none.pt"),
    ("[[models]]\nname = 3", 2, "name must be a text"),
    ("[[models]]\ndefenses = ['rond']", 2, "there is no defense called 'rond'"),
    ("[[models]]\n[[models]]\nseed = 1", 2, "two rows of digits-cnn, none, pgd, linf 0.15. Give one"),
    ("defenses = ['round',\n'round']", 2, "two rows of digits-cnn, round"),
]
