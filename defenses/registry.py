"""The defenses that can be named on the command line."""

from typing import Final

from advbench.names.registry import Entry

DEFENSES: Final = {
    "round": Entry(
        factory="advbench.defenses.quantize:Round",
        summary="to the nearest multiple of a step",
        source="Athalye, Carlini, Wagner 2018",
    ),
    "bit-depth": Entry(
        factory="advbench.defenses.quantize:BitDepth",
        summary="2**bits levels in [0, 1]",
        source="Xu, Evans, Qi 2018",
    ),
    "binarize": Entry(
        factory="advbench.defenses.quantize:Binarize",
        summary="black or white",
        source="Xu, Evans, Qi 2018",
    ),
    "thermometer": Entry(
        factory="advbench.defenses.thermometer:Thermometer",
        summary="a channel for each level, or the level that they stand for",
        source="Buckman et al. 2018",
    ),
    "halftone": Entry(
        factory="advbench.defenses.halftone:Halftone",
        summary="few levels, errors diffused to the pixels that follow",
        source="Lo, Patel 2021",
    ),
    "jpeg": Entry(
        factory="advbench.defenses.compress:JPEG",
        summary="JPEG compression, libjpeg's",
        source="Guo et al. 2018",
    ),
    "webp": Entry(
        factory="advbench.defenses.compress:WebP",
        summary="lossy WebP compression, libwebp's",
        source="libwebp",
    ),
    "reverse-sigmoid": Entry(
        factory="advbench.defenses.outputs:ReverseSigmoid",
        summary="probabilities bent towards one half, at the logits",
        source="Lee et al. 2018",
    ),
    "argmax": Entry(
        factory="advbench.defenses.outputs:Argmax",
        summary="the label alone, at the logits",
        source="Brendel, Rauber, Bethge 2018",
    ),
    "ensemble-vote": Entry(
        factory="advbench.defenses.ensemble:EnsembleVote",
        summary="the members' votes, of an ensemble",
        source="Hansen, Salamon 1990",
    ),
    "ensemble-mean": Entry(
        factory="advbench.defenses.ensemble:EnsembleMean",
        summary="the mean of the members' probabilities, of an ensemble",
        source="Lakshminarayanan et al. 2017",
    ),
    "ensemble-pick": Entry(
        factory="advbench.defenses.ensemble:EnsemblePick",
        summary="a member picked at random for each image, of an ensemble",
        source="Srisakaokul et al. 2018",
    ),
    "median": Entry(
        factory="advbench.defenses.smoothing:Median",
        summary="the median of each pixel's window",
        source="Xu, Evans, Qi 2018",
    ),
    "gaussian": Entry(
        factory="advbench.defenses.smoothing:Gaussian",
        summary="a Gaussian blur",
        source="Xu, Evans, Qi 2018",
    ),
    "nlm": Entry(
        factory="advbench.defenses.smoothing:NonLocalMeans",
        summary="non-local means",
        source="Xu, Evans, Qi 2018",
    ),
    "tv-min": Entry(
        factory="advbench.defenses.tv_min:TVMin",
        summary="the least total variation that fits a random half of the pixels",
        source="Guo et al. 2018",
    ),
    "quilt": Entry(
        factory="advbench.defenses.quilt:Quilt",
        summary="sewn together anew from clean patches of a bank",
        source="Guo et al. 2018",
    ),
    "purify": Entry(
        factory="advbench.defenses.purify:Purify",
        summary="noise, and a denoiser of yours in one step or many; one of 8x8 digits included",
        source="Nie et al. 2022",
    ),
    "resize-pad": Entry(
        factory="advbench.defenses.random_input:ResizePad",
        summary="to a random size, padded at a random place",
        source="Xie et al. 2018",
    ),
    "crop-ensemble": Entry(
        factory="advbench.defenses.random_input:CropEnsemble",
        summary="a random crop, resized back",
        source="Guo et al. 2018",
    ),
    "noise": Entry(
        factory="advbench.defenses.random_input:Noise",
        summary="Gaussian or uniform noise, at any place",
        source="Liu et al. 2018",
    ),
    "dropout-activations": Entry(
        factory="advbench.defenses.inside:DropoutActivations",
        summary="stochastic activation pruning, inside the network",
        source="Dhillon et al. 2018",
    ),
    "k-wta": Entry(
        factory="advbench.defenses.inside:KWTA",
        summary="the strongest activations alone, inside the network",
        source="Xiao, Zhong, Zheng 2020",
    ),
    "quantize-activations": Entry(
        factory="advbench.defenses.inside:QuantizeActivations",
        summary="2**bits levels over each image's range, inside the network",
        source="Rakin et al. 2018",
    ),
    "meansparse": Entry(
        factory="advbench.defenses.meansparse:MeanSparse",
        summary="activations near their channel's mean become it, inside the network",
        source="Amini et al. 2024",
    ),
}
