"""Measuring: match play, calibration, planning speed, and the results that every command writes."""

from pushjepa.evaluation.calibration import calibrate
from pushjepa.evaluation.match_play import Contest, ModelOptions, Record, play_pairs, play_records, summarise
from pushjepa.evaluation.passages import SOURCES
from pushjepa.evaluation.results import make_results, matmul_gflops, write_results
from pushjepa.evaluation.speed import measure_planning
from pushjepa.evaluation.statistics import Estimate, bootstrap_mean, bootstrap_ratio, spearman, wilson

__all__ = [
    "SOURCES",
    "Contest",
    "Estimate",
    "ModelOptions",
    "Record",
    "bootstrap_mean",
    "bootstrap_ratio",
    "calibrate",
    "make_results",
    "matmul_gflops",
    "measure_planning",
    "play_pairs",
    "play_records",
    "spearman",
    "summarise",
    "wilson",
    "write_results",
]
