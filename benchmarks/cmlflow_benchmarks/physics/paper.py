"""What arXiv:2603.23356 states, as far as its text gives numbers: the points of its figures it does not list."""

from __future__ import annotations

SOURCE = "arXiv:2603.23356"

TABLE_1: dict[tuple[str, str], dict[str, float]] = {
    ("em", "supcon"): {"ward": 8, "threshold": 0.4, "radius": 0.45},
    ("em", "oc"): {"ward": 6.75, "threshold": 0.1, "radius": 0.25},
    ("had", "supcon"): {"ward": 10, "threshold": 0.4, "radius": 0.45},
    ("had", "oc"): {"ward": 11, "threshold": 0.1, "radius": 0.35},
    ("mixed", "supcon"): {"ward": 9.5, "threshold": 0.4, "radius": 0.45},
    ("mixed", "oc"): {"ward": 7.5, "threshold": 0.1, "radius": 0.3},
}
"""Ward height, score threshold and radius of the native readout, by (kind, system)."""

TABLE_2: dict[tuple[str, int, str], tuple[float, float, float, float]] = {
    ("em", 2, "supcon"): (0.941, 0.992, 0.067, 0.956),
    ("em", 2, "oc"): (0.935, 0.989, 0.072, 0.944),
    ("em", 15, "supcon"): (0.691, 0.932, 0.339, 0.950),
    ("em", 15, "oc"): (0.667, 0.920, 0.363, 0.923),
    ("em", 30, "supcon"): (0.572, 0.886, 0.467, 0.945),
    ("em", 30, "oc"): (0.536, 0.871, 0.503, 0.918),
    ("had", 2, "supcon"): (0.938, 0.992, 0.077, 0.945),
    ("had", 2, "oc"): (0.922, 0.989, 0.092, 0.927),
    ("had", 10, "supcon"): (0.744, 0.943, 0.286, 0.927),
    ("had", 10, "oc"): (0.698, 0.927, 0.330, 0.889),
    ("had", 20, "supcon"): (0.628, 0.900, 0.407, 0.917),
    ("had", 20, "oc"): (0.573, 0.876, 0.460, 0.877),
}
"""R@1, R@10, C@10 and AUC by (kind, particles per event, system)."""

TABLE_3: dict[tuple[str, int, str], tuple[float, float]] = {
    ("supcon", 16, "ward"): (0.722, 0.932),
    ("supcon", 16, "native"): (0.710, 0.945),
    ("supcon", 4, "ward"): (0.690, 0.887),
    ("supcon", 4, "native"): (0.637, 0.905),
    ("oc", 16, "ward"): (0.469, 0.849),
    ("oc", 16, "native"): (0.520, 0.838),
    ("oc", 4, "ward"): (0.512, 0.813),
    ("oc", 4, "native"): (0.500, 0.866),
}
"""Purity and efficiency of the mixed model on a mixed sample, by (system, dimension, readout)."""

TEXT: dict[str, str] = {
    "figure 1": "Paper (V.1): for CML d_inter, d_intra and margin are narrowly distributed at all multiplicities, the "
    "margin with a positive peak for EM and a peak near zero for HAD; for OC broad and often negative, for HAD "
    "systematically negative.",
    "figure 2": "Paper (V.2): EM, CML near-perfect efficiency and substantially higher purity than OC; HAD, "
    "efficiencies similar, a clear purity advantage for CML; mixed on EM, OC drops severely, CML does not. The "
    "numbers of this paragraph cannot be read in the text copy at hand.",
    "figure 3": "Paper (V.2): EM at the highest multiplicities of its figure, CML efficiency 95–98 %, purity "
    "73–78 %, OC 75 % and 47–55 %; the ratio stays near one for CML and drops for OC. Mixed model on EM at high "
    "multiplicity: CML efficiency 70 %, OC 20–30 %. The multiplicities that these refer to, and the purity gain "
    "for HAD, cannot be read in the text copy at hand.",
    "figure 4": "Paper (V.2): EM at 600 GeV, σ_eff 1.6 % for CML, 2.0 % for OC with native inference, 2.4 % for OC "
    "with agglomerative clustering. The HAD values at 50 GeV cannot be read in the text copy at hand.",
}
"""What section V says beside the figures."""
