"""The network of `--episodic` and `--stream`, and what does not go with it."""

from torch import nn

from advbench.defended.adapting import Adapting
from advbench.errors import ModelError, SpecError
from advbench.jobs.settings.subject import SubjectOptions
from advbench.names.adaptation import adapts
from advbench.names.grammar import has_detector, split_chain


def adapting(options: SubjectOptions, network: nn.Module) -> Adapting:
    """The network as one that adapts, in the mode in which it was loaded.

    Args:
        options: the words, which may ask for what does not go together with adaptation.
        network: with its weights.

    Raises:
        SpecError: what does not go together with that.
        ModelError: a program.
    """
    beside = {
        "--random-model": options.random_model,
        "--smooth": options.smooth is not None,
        "--member": bool(options.members),
        "--reject-class": options.reject_class is not None,
        "--detector": any(has_detector(text) for text in options.defenses),
    }
    wrong = next((word for word, given in beside.items() if given), None)
    if wrong is not None:
        raise SpecError(f"--episodic and --stream do not go together with {wrong}.")
    chained = next((text for text in options.defenses if adapts([text]) and len(split_chain(text)) > 1), None)
    if chained is not None:
        raise SpecError(
            f"--episodic and --stream judge the model alone, without another defense before it: {chained!r}."
        )
    if not list(network.parameters()):
        raise ModelError(
            "a program shows no weights that could adapt: --episodic and --stream want a network."
        )
    return Adapting(network)
