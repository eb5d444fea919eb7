"""The papers of what a table was made with, as BibTeX."""

from collections.abc import Sequence
from typing import Final

from advbench.names.grammar import Spec, parse_chain
from advbench.results.records import Row

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
    "chen2020": (
        "inproceedings",
        "Chen, Jinghui and Gu, Quanquan",
        "RayS: A Ray Searching Method for Hard-label Adversarial Attack",
        "ACM SIGKDD International Conference on Knowledge Discovery and Data Mining",
        "2020",
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
    "bryniarski2022": (
        "inproceedings",
        "Bryniarski, Oliver and Hingun, Nabeel and Pachuca, Pedro and Wang, Vincent and Carlini, Nicholas",
        "Evading Adversarial Example Detection Defenses with Orthogonal Projected Gradient Descent",
        "International Conference on Learning Representations",
        "2022",
    ),
    "tramer2022": (
        "inproceedings",
        "Tram{\\`e}r, Florian",
        "Detecting Adversarial Examples Is (Nearly) As Hard As Classifying Them",
        "International Conference on Machine Learning",
        "2022",
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
        r"Guo, Chuan and Rana, Mayank and Ciss{\'e}, Moustapha and van der Maaten, Laurens",
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
    "croce2021": (
        "inproceedings",
        "Croce, Francesco and Hein, Matthias",
        "Mind the Box: $l_1$-APGD for Sparse Adversarial Attacks on Image Classifiers",
        "International Conference on Machine Learning",
        "2021",
    ),
    "brendel2018": (
        "inproceedings",
        "Brendel, Wieland and Rauber, Jonas and Bethge, Matthias",
        "Decision-Based Adversarial Attacks: Reliable Attacks Against Black-Box Machine Learning Models",
        "International Conference on Learning Representations",
        "2018",
    ),
    "dhillon2018": (
        "inproceedings",
        "Dhillon, Guneet S. and Azizzadenesheli, Kamyar and Lipton, Zachary C. and Bernstein, Jeremy and "
        "Kossaifi, Jean and Khanna, Aran and Anandkumar, Animashree",
        "Stochastic Activation Pruning for Robust Adversarial Defense",
        "International Conference on Learning Representations",
        "2018",
    ),
    "xiao2020": (
        "inproceedings",
        "Xiao, Chang and Zhong, Peilin and Zheng, Changxi",
        "Enhancing Adversarial Defense by k-Winners-Take-All",
        "International Conference on Learning Representations",
        "2020",
    ),
    "liu2018": (
        "inproceedings",
        "Liu, Xuanqing and Cheng, Minhao and Zhang, Huan and Hsieh, Cho-Jui",
        "Towards Robust Neural Networks via Random Self-ensemble",
        "European Conference on Computer Vision",
        "2018",
    ),
    "nie2022": (
        "inproceedings",
        "Nie, Weili and Guo, Brandon and Huang, Yujia and Xiao, Chaowei and Vahdat, Arash and "
        "Anandkumar, Anima",
        "Diffusion Models for Adversarial Purification",
        "International Conference on Machine Learning",
        "2022",
    ),
    "carlini2023": (
        "inproceedings",
        r"Carlini, Nicholas and Tram{\`e}r, Florian and Dvijotham, Krishnamurthy and Rice, Leslie and "
        "Sun, Mingjie and Kolter, J. Zico",
        "(Certified!!) Adversarial Robustness for Free!",
        "International Conference on Learning Representations",
        "2023",
    ),
    "yoon2021": (
        "inproceedings",
        "Yoon, Jongmin and Hwang, Sung Ju and Lee, Juho",
        "Adversarial Purification with Score-based Generative Models",
        "International Conference on Machine Learning",
        "2021",
    ),
    "lo2021": (
        "inproceedings",
        "Lo, Shao-Yuan and Patel, Vishal M.",
        "Error Diffusion Halftoning Against Adversarial Examples",
        "IEEE International Conference on Image Processing",
        "2021",
    ),
    "lee2018": (
        "article",
        "Lee, Taesung and Edwards, Benjamin and Molloy, Ian and Su, Dong",
        "Defending Against Machine Learning Model Stealing Attacks Using Deceptive Perturbations",
        "arXiv preprint arXiv:1806.00054",
        "2018",
    ),
    "rakin2018": (
        "article",
        "Rakin, Adnan Siraj and Yi, Jinfeng and Gong, Boqing and Fan, Deliang",
        "Defend Deep Neural Networks Against Adversarial Examples via Fixed and Dynamic Quantized Activation "
        "Functions",
        "arXiv preprint arXiv:1807.06714",
        "2018",
    ),
    "amini2024": (
        "article",
        "Amini, Sajjad and Teymoorianfard, Mohammadreza and Ma, Shiqing and Houmansadr, Amir",
        "MeanSparse: Post-Training Robustness Enhancement Through Mean-Centered Feature Sparsification",
        "arXiv preprint arXiv:2406.05927",
        "2024",
    ),
    "hansen1990": (
        "article",
        "Hansen, Lars Kai and Salamon, Peter",
        "Neural Network Ensembles",
        "IEEE Transactions on Pattern Analysis and Machine Intelligence",
        "1990",
    ),
    "lakshminarayanan2017": (
        "inproceedings",
        "Lakshminarayanan, Balaji and Pritzel, Alexander and Blundell, Charles",
        "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
        "Advances in Neural Information Processing Systems",
        "2017",
    ),
    "srisakaokul2018": (
        "article",
        "Srisakaokul, Siwakorn and Zhang, Yuhao and Zhong, Zexuan and Yang, Wei and Xie, Tao and Li, Bo",
        "MulDef: Multi-model-based Defense Against Adversarial Examples for Neural Networks",
        "arXiv preprint arXiv:1809.00065",
        "2018",
    ),
    "rauber2020": (
        "article",
        "Rauber, Jonas and Zimmermann, Roland and Bethge, Matthias and Brendel, Wieland",
        "Foolbox Native: Fast adversarial attacks to benchmark the robustness of machine learning models in "
        "PyTorch, TensorFlow, and JAX",
        "Journal of Open Source Software",
        "2020",
    ),
    "kim2020": (
        "article",
        "Kim, Hoki",
        "Torchattacks: A PyTorch Repository for Adversarial Attacks",
        "arXiv preprint arXiv:2010.01950",
        "2020",
    ),
    "nicolae2018": (
        "article",
        "Nicolae, Maria-Irina and Sinn, Mathieu and Tran, Minh Ngoc and Buesser, Beat and Rawat, Ambrish and "
        "Wistuba, Martin and Zantedeschi, Valentina and Baracaldo, Nathalie and Chen, Bryant and "
        "Ludwig, Heiko and Molloy, Ian and Edwards, Ben",
        "Adversarial Robustness Toolbox v1.2.0",
        "arXiv preprint arXiv:1807.01069",
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
_PLACES: Final[dict[str, tuple[str, str, str]]] = {
    "hansen1990": ("12", "10", "993--1001"),
    "rauber2020": ("5", "53", "2607"),
    "wilson1927": ("22", "158", "209--212"),
    "mcnemar1947": ("12", "2", "153--157"),
    "tango1998": ("17", "8", "891--908"),
}
"""Volume, number and pages of articles in journals."""

_OF_NAMES: Final = {
    "pgd": "madry2018",
    "fgsm": "goodfellow2015",
    "apgd": "croce2020autoattack",
    "autoattack": "croce2020autoattack",
    "fab": "croce2020fab",
    "square": "andriushchenko2020",
    "tabu": "andriushchenko2020",
    "hard-label": "chen2020",
    "fmn": "pintor2021",
    "selective": "bryniarski2022",
    "orthogonal": "bryniarski2022",
    "jpeg": "guo2018",
    "tv-min": "guo2018",
    "quilt": "guo2018",
    "crop-ensemble": "guo2018",
    "bit-depth": "xu2018",
    "median": "xu2018",
    "nlm": "xu2018",
    "thermometer": "buckman2018",
    "purify": "nie2022",
    "resize-pad": "xie2018",
    "binarize": "xu2018",
    "gaussian": "xu2018",
    "halftone": "lo2021",
    "reverse-sigmoid": "lee2018",
    "argmax": "brendel2018",
    "noise": "liu2018",
    "dropout-activations": "dhillon2018",
    "k-wta": "xiao2020",
    "quantize-activations": "rakin2018",
    "meansparse": "amini2024",
    "round": "athalye2018",
    "ensemble-vote": "hansen1990",
    "ensemble-mean": "lakshminarayanan2017",
    "ensemble-pick": "srisakaokul2018",
    "foolbox": "rauber2020",
    "torchattacks": "kim2020",
    "art": "nicolae2018",
}

_OF_FORMS: Final = {"one-shot": "carlini2023", "langevin": "yoon2021"}
"""Of `purify`'s forms, beside the paper of its usual one."""


def bibtex(rows: Sequence[Row], *, paired: bool = False) -> str:
    """The entries of the attacks, defenses and statistics of a table, each once.

    Args:
        rows: the table.
        paired: whether rows are compared in pairs as well.
    """
    names = [name for row in rows for text in (row.attack, row.defense) for name in _parts(text)]
    keys = [_OF_NAMES[name] for name in names if name in _OF_NAMES]
    keys += [
        key for row in rows for form, key in _OF_FORMS.items() if _has(row.defense, "purify", "form", form)
    ]
    keys += ["croce2021"] * any(row.norm == "l1" and "apgd" in _parts(row.attack) for row in rows)
    keys += ["athalye2018"] * any("bpda" in row.rates for row in rows)
    keys += ["tramer2022"] * any(row.may_refuse for row in rows)
    keys += ["andriushchenko2020"] * any("gradient_free" in row.rates for row in rows)
    keys += ["wilson1927", *(["mcnemar1947"] if paired else [])]
    keys += ["tango1998"] * (paired or any(row.masking_gap_interval is not None for row in rows))
    return "\n".join(map(_entry, dict.fromkeys(keys)))


def _parts(text: str) -> list[str]:
    """The names in a chain, a library's by its own."""
    return [spec.name.partition(":")[0] for spec in _chain(text)]


def _has(text: str, name: str, parameter: str, value: str) -> bool:
    """Whether an element of a chain has that name, and that value for a parameter."""
    return any(spec.name == name and spec.parameters.get(parameter) == value for spec in _chain(text))


def _chain(text: str) -> Sequence[Spec]:
    """The elements of a chain; a record of one's own may hold any text."""
    try:
        return parse_chain(text)
    except ValueError:
        return ()


def _entry(key: str) -> str:
    kind, author, title, where, year = _PAPERS[key]
    home = "journal" if kind == "article" else "booktitle"
    fields = {"author": author, "title": f"{{{title}}}", home: where, "year": year}
    if key in _PLACES:
        fields |= dict(zip(("volume", "number", "pages"), _PLACES[key], strict=True))
    lines = "".join(f"  {name} = {{{text}}},\n" for name, text in fields.items())
    return f"@{kind}{{{key},\n{lines}}}\n"
