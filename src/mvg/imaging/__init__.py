"""Volumes and label maps, their files, windows, frames and colorings."""

from mvg.imaging.coloring import Coloring
from mvg.imaging.files import read, read_gray, read_labels, stem_of, suffix_of, write
from mvg.imaging.frame import Frame, assemble
from mvg.imaging.volume import LabelMap, Plane, Volume, luminance
from mvg.imaging.window import Window, guess_modality

__all__ = [
    "Coloring",
    "Frame",
    "LabelMap",
    "Plane",
    "Volume",
    "Window",
    "assemble",
    "guess_modality",
    "luminance",
    "read",
    "read_gray",
    "read_labels",
    "stem_of",
    "suffix_of",
    "write",
]
