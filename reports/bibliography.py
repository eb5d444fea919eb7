"""The papers of what a table was made with, as BibTeX."""

from collections.abc import Sequence
from typing import Final

from advbench.records import Row
from advbench.spec import parse_chain

_PAPERS: Final[dict[str, tuple[str, str, str, str, str]]] = {
    "madry2018": (
        "inproceedings",
        "Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and "
        "Vladu, Adrian",
        "Towards Deep Learning Models Resistant to Adversarial Attacks",
        "International Conference on Learning Representations",
        "2018",
    ),
    "goodfellow2015": (
        "inproceedings",
        "Goodfellow, Ian J. and Shlens, Jonathon and Szegedy, Christian",
        "Explaining and Harnessing Adversarial Examples",
        "International Conference on Learning Representations",
        "2015",
    ),
    "croce2020autoattack": (
        "inproceedings",
        "Croce, Francesco and Hein, Matthias",
        "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks",
        "International Conference on Machine Learning",
        "2020",
    ),
    "croce2020fab": (
        "inproceedings",
        "Croce, Francesco and Hein, Matthias",
        "Minimally distorted Adversarial Examples with a Fast Adaptive Boundary Attack",
        "International Conference on Machine Learning",
        "2020",
    ),
    "andriushchenko2020": (
        "inproceedings",
        "Andriushchenko, Maksym and Croce, Francesco and Flammarion, Nicolas and Hein, Matthias",
        "Square Attack: a query-efficient black-box adversarial attack via random search",
        "European Conference on Computer Vision",
        "2020",
    ),
    "pintor2021": (
        "inproceedings",
        "Pintor, Maura and Roli, Fabio and Brendel, Wieland and Biggio, Battista",
        "Fast Minimum-norm Adversarial Attacks through Adaptive Norm Constraints",
        "Advances in Neural Information Processing Systems",
        "2021",
    ),
    "athalye2018": (
        "inproceedings",
        "Athalye, Anish and Carlini, Nicholas and Wagner, David",
        "Obfuscated Gradients Give a False Sense of Security: Circumventing Defenses to Adversarial Examples",
        "International Conference on Machine Learning",
        "2018",
    ),
    "guo2018": (
        "inproceedings",
        "Guo, Chuan and Rana, Mayank and Cisse, Moustapha and van der Maaten, Laurens",
        "Countering Adversarial Images using Input Transformations",
        "International Conference on Learning Representations",
        "2018",
    ),
    "xu2018": (
        "inproceedings",
        "Xu, Weilin and Evans, David and Qi, Yanjun",
        "Feature Squeezing: Detecting Adversarial Examples in Deep Neural Networks",
        "Network and Distributed System Security Symposium",
        "2018",
    ),
    "buckman2018": (
        "inproceedings",
        "Buckman, Jacob and Roy, Aurko and Raffel, Colin and Goodfellow, Ian",
        "Thermometer Encoding: One Hot Way To Resist Adversarial Examples",
        "International Conference on Learning Representations",
        "2018",
    ),
    "xie2018": (
        "inproceedings",
        "Xie, Cihang and Wang, Jianyu and Zhang, Zhishuai and Ren, Zhou and Yuille, Alan",
        "Mitigating Adversarial Effects Through Randomization",
        "International Conference on Learning Representations",
        "2018",
    ),
    "wilson1927": (
        "article",
        "Wilson, Edwin B.",
        "Probable Inference, the Law of Succession, and Statistical Inference",
        "Journal of the American Statistical Association",
        "1927",
    ),
    "mcnemar1947": (
        "article",
        "McNemar, Quinn",
        "Note on the sampling error of the difference between correlated proportions or percentages",
        "Psychometrika",
        "1947",
    ),
    "tango1998": (
        "article",
        "Tango, Toshiro",
        "Equivalence test and confidence interval for the difference in proportions for the "
        "paired-sample design",
        "Statistics in Medicine",
        "1998",
    ),
}
_OF_NAMES: Final = {
    "pgd": "madry2018",
    "fgsm": "goodfellow2015",
    "apgd": "croce2020autoattack",
    "autoattack": "croce2020autoattack",
    "fab": "croce2020fab",
    "square": "andriushchenko2020",
    "fmn": "pintor2021",
    "jpeg": "guo2018",
    "tv-min": "guo2018",
    "quilt": "guo2018",
    "crop-ensemble": "guo2018",
    "bit-depth": "xu2018",
    "median": "xu2018",
    "nlm": "xu2018",
    "thermometer": "buckman2018",
    "resize-pad": "xie2018",
}


def bibtex(rows: Sequence[Row], *, paired: bool = False) -> str:
    """The entries of the attacks, defenses and statistics of a table, each once.

    Args:
        rows: the table.
        paired: whether rows are compared in pairs as well.
    """
    names = [name for row in rows for text in (row.attack, row.defense) for name in _parts(text)]
    keys = [_OF_NAMES[name] for name in names if name in _OF_NAMES]
    keys += ["athalye2018"] * any("bpda" in row.rates for row in rows)
    keys += ["andriushchenko2020"] * any("gradient_free" in row.rates for row in rows)
    keys += ["wilson1927", *(["mcnemar1947", "tango1998"] if paired else [])]
    return "\n".join(map(_entry, dict.fromkeys(keys)))


def _parts(text: str) -> list[str]:
    """The names in a chain; a record of one's own may hold any text."""
    try:
        return [spec.name for spec in parse_chain(text)]
    except ValueError:
        return []


def _entry(key: str) -> str:
    kind, author, title, where, year = _PAPERS[key]
    home = "journal" if kind == "article" else "booktitle"
    return (
        f"@{kind}{{{key},\n  author = {{{author}}},\n  title = {{{{{title}}}}},\n  {home} = {{{where}}},\n"
        f"  year = {{{year}}},\n}}\n"
    )
