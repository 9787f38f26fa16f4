"""What a label means in codes: those that the user supplies, SNOMED CT for names that a table knows, else our own.

The table's codes are those of DICOM's own context groups, which pydicom has; a test compares them.
"""

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvg.errors import FileError

SNOMED = "SCT"
PRIVATE = "99MVG"


@dataclass(frozen=True)
class Code:
    """A coded concept: the designator of its coding scheme, its value in it, and its meaning."""

    scheme: str
    value: str
    meaning: str

    def item(self) -> Any:
        """The code as an item of a DICOM sequence."""
        from pydicom import Dataset

        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = self.value, self.scheme, self.meaning
        return item


@dataclass(frozen=True)
class Term:
    """The name of a label, what it is, its category, and for paired organs the side."""

    name: str
    concept: Code
    category: Code
    side: Code | None = None


STRUCTURE = Code(SNOMED, "123037004", "Anatomical Structure")
ABNORMAL = Code(SNOMED, "49755003", "Morphologically Abnormal Structure")
TISSUE = Code(SNOMED, "85756007", "Tissue")
SIDES = {"left": Code(SNOMED, "7771000", "Left"), "right": Code(SNOMED, "24028007", "Right")}

_CATEGORY_OF = {"s": STRUCTURE, "a": ABNORMAL, "t": TISSUE}
# name: value, meaning, category
TABLE: Mapping[str, tuple[str, str, str]] = {
    "adrenal gland": ("23451007", "Adrenal gland", "s"),
    "aorta": ("15825003", "Aorta", "s"),
    "bladder": ("89837001", "Bladder", "s"),
    "brain": ("12738006", "Brain", "s"),
    "brain stem": ("119238007", "Brain Stem", "s"),
    "breast": ("76752008", "Breast", "s"),
    "bronchus": ("955009", "Bronchus", "s"),
    "cartilage": ("309312004", "Cartilage", "t"),
    "cerebellum": ("113305005", "Cerebellum", "s"),
    "cerebrospinal fluid": ("65216001", "Cerebrospinal Fluid", "s"),
    "colon": ("71854001", "Colon", "s"),
    "cyst": ("367643001", "Cyst", "a"),
    "duodenum": ("38848004", "Duodenum", "s"),
    "edema": ("79654002", "Edema", "a"),
    "esophagus": ("32849002", "Esophagus", "s"),
    "eye": ("81745001", "Eye", "s"),
    "femur": ("71341001", "Femur", "s"),
    "gallbladder": ("28231008", "Gallbladder", "s"),
    "gray matter": ("389081007", "Gray Matter", "s"),
    "heart": ("80891009", "Heart", "s"),
    "hemorrhage": ("50960005", "Hemorrhage", "a"),
    "hip": ("29836001", "Hip", "s"),
    "hippocampus": ("5366008", "Hippocampus", "s"),
    "humerus": ("85050009", "Humerus", "s"),
    "inferior vena cava": ("64131007", "Inferior vena cava", "s"),
    "kidney": ("64033007", "Kidney", "s"),
    "left atrium": ("82471001", "Left atrium", "s"),
    "left ventricle": ("87878005", "Left ventricle", "s"),
    "lesion": ("52988006", "Lesion", "a"),
    "liver": ("10200004", "Liver", "s"),
    "lung": ("39607008", "Lung", "s"),
    "lymph node": ("59441001", "Lymph Node", "s"),
    "mandible": ("91609006", "Mandible", "s"),
    "mass": ("4147007", "Mass", "a"),
    "necrosis": ("6574001", "Necrosis", "a"),
    "neoplasm": ("108369006", "Neoplasm", "a"),
    "nodule": ("27925004", "Nodule", "a"),
    "pancreas": ("15776009", "Pancreas", "s"),
    "parotid gland": ("45289007", "Parotid gland", "s"),
    "portal vein": ("32764006", "Portal vein", "s"),
    "prostate": ("41216001", "Prostate", "s"),
    "rectum": ("34402009", "Rectum", "s"),
    "rib": ("113197003", "Rib", "s"),
    "right atrium": ("73829009", "Right atrium", "s"),
    "right ventricle": ("53085002", "Right ventricle", "s"),
    "sacrum": ("54735007", "Sacrum", "s"),
    "skin": ("39937001", "Skin", "t"),
    "small intestine": ("30315005", "Small intestine", "s"),
    "spinal cord": ("2748008", "Spinal cord", "s"),
    "spleen": ("78961009", "Spleen", "s"),
    "splenic vein": ("35819009", "Splenic vein", "s"),
    "sternum": ("56873002", "Sternum", "s"),
    "stomach": ("69695003", "Stomach", "s"),
    "trachea": ("44567001", "Trachea", "s"),
    "ureter": ("87953007", "Ureter", "s"),
    "uterus": ("35039007", "Uterus", "s"),
    "vertebra": ("51282000", "Vertebra", "s"),
    "white matter": ("389080008", "White Matter", "s"),
}
_SYNONYMS = {
    "adrenal": "adrenal gland", "csf": "cerebrospinal fluid", "gall bladder": "gallbladder",
    "ivc": "inferior vena cava", "lv": "left ventricle", "oedema": "edema", "oesophagus": "esophagus",
    "postcava": "inferior vena cava",
    "rv": "right ventricle", "tumor": "neoplasm", "tumour": "neoplasm", "urinary bladder": "bladder",
    "cancer": "neoplasm", "la": "left atrium",
}  # fmt: skip
_COLUMNS = ("label", "scheme", "value", "meaning")


def term_of(value: int, name: str = "") -> Term:
    """The term of a label; one without a name, or with a name that the table lacks, gets a private code."""
    words = re.sub(r"[^a-z]+", " ", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()).strip()
    for side, rest in ((None, words), *_without_side(words)):
        key = _SYNONYMS.get(rest, rest)
        entry = TABLE.get(key) or TABLE.get(_SYNONYMS.get(key.removesuffix("s"), key.removesuffix("s")))
        if entry is not None:
            code, meaning, category = entry
            return Term(name, Code(SNOMED, code, meaning), _CATEGORY_OF[category], side)
    label_name = name or f"Label {value}"
    return Term(label_name, Code(PRIVATE, str(value), label_name[:64]), TISSUE)


def terms_of(
    values: Collection[int], names: Mapping[int, str], codes: Sequence[tuple[str, Code]] = ()
) -> dict[int, Term]:
    """The terms of label values. codes: the user's, by value or name of a label; they come first."""
    supplied = dict(codes)
    terms = {value: term_of(value, names.get(value, "")) for value in values}
    for value, term in terms.items():
        code = supplied.get(str(value)) or supplied.get(names.get(value, ""))
        if code is not None:
            terms[value] = Term(names.get(value) or code.meaning, code, term.category)
    return terms


def read_codes(path: Path) -> list[tuple[str, Code]]:
    """The user's codes from a CSV file with the columns label (value or name), scheme, value and meaning.

    Raises FileError where it is no such table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _no_table(path, str(getattr(error, "strerror", None) or error)) from error
    for number, row in enumerate(rows, 2):
        if any(not str(row.get(column) or "").strip() for column in _COLUMNS):
            raise _no_table(path, f"line {number} lacks one of them")
        if len(row["scheme"]) > 16 or len(row["value"]) > 16 or len(row["meaning"]) > 64:
            raise _no_table(path, f"line {number} is longer than DICOM allows (16, 16 and 64 letters)")
    if not rows:
        raise _no_table(path, "it has no lines")
    return [(row["label"].strip(), Code(row["scheme"], row["value"], row["meaning"])) for row in rows]


def _no_table(path: Path, reason: str) -> FileError:
    return FileError(
        f"'{path}' is no table of codes ({reason})", f"CSV with the columns {', '.join(_COLUMNS)}", "correct it"
    )


def _without_side(words: str) -> list[tuple[Code, str]]:
    parts = words.split()
    abbreviated = {"l": "left", "r": "right", "lt": "left", "rt": "right"}
    sides = [abbreviated.get(part, part) for part in parts if abbreviated.get(part, part) in SIDES]
    if len(sides) != 1:
        return []
    rest = [part for part in parts if abbreviated.get(part, part) not in SIDES]
    return [(SIDES[sides[0]], " ".join(rest))]
