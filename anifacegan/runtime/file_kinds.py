"""What a file is whose content is of another kind than its name says, by its first bytes.

Download tools leave web pages, Git LFS pointers and empty files under the names of weights, images and coefficients.
"""

from io import BufferedIOBase
from pathlib import Path

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.paths import require_file

HEAD_BYTES = 64
"""Number of bytes of a file's beginning that :func:`foreign_kind` looks at."""
LFS = b"version https://git-lfs"
_WEB_PAGES = (b"<!doctype", b"<html", b"<?xml")
NUMPY_ARRAY = b"\x93NUMPY"
ZIP = b"PK\x03\x04"
PICKLE = b"\x80"
_OF_OTHERS = {
    b"\x89PNG": "is an image (PNG)",
    b"\xff\xd8\xff": "is an image (JPEG)",
    b"MATLAB": "is a MATLAB file (.mat)",
    b"\x89HDF": "is an HDF5 file (.h5, or .mat of MATLAB 7.3)",
    NUMPY_ARRAY: "is a NumPy array (.npy)",
    ZIP: "is a zip archive, such as NumPy's .npz and PyTorch's .pth",
    PICKLE: "is a Python pickle",
    b"(dp": "is a Python pickle",
}

HDF5 = b"\x89HDF"
_USED = "'anifacegan face-model' builds the one used here"
_FLAME = (
    (b"shapedirs", b"v_template"),
    f"is the FLAME face model, a Python pickle that is not read; {_USED}",
)
_FACE_MODELS = {
    PICKLE: _FLAME,
    b"(dp": _FLAME,
    HDF5: (
        (b"pcaBasis", b"pcaVariance"),
        f"is a Basel Face Model of 2017 or 2019 (.h5), whose coefficients are others; {_USED}",
    ),
}
"""Face models of others: how their files begin, names that are in them, and words for a message."""
SEARCHED_BYTES, _PART, _LONGEST_NAME = 2**28, 2**22, 16
"""Number of bytes in which these names are searched for, read in parts; and the length of the longest name."""


def foreign_kind(head: bytes, *own: bytes) -> str | None:
    """Return what a file is, as the words after its name in a message; None if nothing speaks against it.

    ``head`` are its first bytes; ``own`` are beginnings of files of the expected kind.
    """
    if not head:
        return "is empty"
    if head.startswith(LFS):
        return "is a Git LFS pointer; 'git lfs pull' fetches the file itself"
    if head.lstrip().lower().startswith(_WEB_PAGES):
        return "is a web page, perhaps of a failed download"
    if head[4:8] == bytes(4) and head[8:9] == b"{":
        return None  # safetensors begin with the length of their header, which may look like any other kind
    found = (kind for start, kind in _OF_OTHERS.items() if start not in own and head.startswith(start))
    return next(found, None)


def foreign_face_model(head: bytes, file: BufferedIOBase) -> str | None:
    """Return what a file is if it is a face model that other programs use, as :func:`foreign_kind` does; else None.

    ``head`` are the first bytes of the file.
    """
    for start, (names, words) in _FACE_MODELS.items():
        if not head.startswith(start):
            continue
        file.seek(0)
        missing, before = set(names), b""
        for _ in range(SEARCHED_BYTES // _PART):
            part = file.read(_PART)
            missing -= {name for name in missing if name in before + part}
            if not missing:
                return words
            if len(part) < _PART:
                break
            before = part[-_LONGEST_NAME:]
    return None


def require_kind(path: Path, expected: str, *own: bytes) -> None:
    """Require that a file can be read and does not begin like a file of another kind.

    Raises:
        InputError: it does not exist, cannot be read, or is of another kind; the message ends with ``expected``.
    """
    require_file(path, expected)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            kind = foreign_face_model(head, file) or foreign_kind(head, *own)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}), expected {expected}") from None
    if kind is not None:
        raise InputError(f"{path}: {kind}, expected {expected}")
