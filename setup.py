"""What ``pip install .`` needs to know. Tool settings: pyproject.toml. Tested pins: requirements*.txt."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
REPOSITORY = "https://github.com/anifacegan/anifacegan"
SHIPPED = (
    "checkpoints/demo/*",
    "checkpoints/judge/*",
    "checkpoints/reconstruction/*",
    "configs/*.yaml",
    "mat/*",
)
"""Files at the root of the repository that the package needs from any folder (anifacegan/runtime/resources.py)."""


class BuildWithShippedFiles(build_py):
    """Copy the shipped files into anifacegan/shipped of the build; a source distribution gets them where they are.

    An editable installation copies nothing: the package finds them in the checkout.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self.shipped_files():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_source_files(self) -> list[str]:
        return super().get_source_files() + [source.as_posix() for source, _ in self.shipped_files()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        return (
            outputs if self.editable_mode else outputs + [str(target) for _, target in self.shipped_files()]
        )

    def shipped_files(self) -> list[tuple[Path, Path]]:
        """Pairs of a file, relative to the repository, and its place in the build."""
        folder = Path(self.build_lib, "anifacegan", "shipped")
        files = sorted(path for pattern in SHIPPED for path in HERE.glob(pattern) if path.is_file())
        return [(path.relative_to(HERE), folder / path.relative_to(HERE)) for path in files]


def version() -> str:
    """``__version__`` of the package, without importing it."""
    found = re.search(r'^__version__ = "(.+?)"', (HERE / "anifacegan/__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def readme() -> str:
    """README.md for a page outside the repository: its relative links and images become absolute."""
    text = (HERE / "README.md").read_text()
    text = re.sub(r"(!\[[^]]*\]\()(?!https?://|#)", rf"\1{REPOSITORY}/raw/main/", text)
    return re.sub(r"(?<!!)(\[[^]]*\]\()(?!https?://|#)", rf"\1{REPOSITORY}/blob/main/", text)


setup(
    name="anifacegan",
    version=version(),
    description="Faces that do not exist, which you can turn and make smile: an open AniFaceGAN in PyTorch",
    long_description=readme(),
    long_description_content_type="text/markdown",
    author="anifacegan authors",
    url=REPOSITORY,
    project_urls={
        "Documentation": f"{REPOSITORY}/tree/main/docs",
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    },
    license="MIT",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Graphics :: 3D Rendering",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["anifacegan", "anifacegan.*"]),
    package_data={
        "anifacegan": ["py.typed", "capture/correspondence.npz", "avatars/export/page/*", "viewer/page/*"]
    },
    cmdclass={"build_py": BuildWithShippedFiles},
    entry_points={"console_scripts": ["anifacegan = anifacegan.cli.start:main"]},
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.5",
        "numpy>=1.26,<3",
        "scipy>=1.11",
        "threadpoolctl>=3.8",
        "numba>=0.60",
        "pyyaml>=6",
        "docstring_parser>=0.16",
        "jaxtyping>=0.2.36",
        "safetensors>=0.4.3",
        "torchvision>=0.20",
        "imageio>=2.34",
        "imageio-ffmpeg>=0.5",
        "pillow>=10.1",
        "tensorboard>=2.14",
        "tqdm>=4.65",
        "platformdirs>=4",
    ],
    extras_require={
        # The mesh rasterizer on CUDA. It compiles itself at its first use, with the CUDA toolkit's nvcc.
        "cuda": ["diffrp-nvdiffrast>=0.3.3.1", "ninja>=1.11"],
        # Tests, lint, types. The data package of requirements-face-model.txt is apart: see there.
        "dev": [
            "pytest>=8",
            "beartype>=0.19",
            "ruff>=0.9",
            "pyright>=1.1.390",
            "onnx>=1.16",
            "pytest-xdist>=3.6",
            "import-linter>=2.1",
        ],
        # FID, KID and Inception Score; face recognisers that the user brings as ONNX files; reference image metrics.
        "eval": ["torch-fidelity>=0.4", "onnxruntime>=1.17", "torchmetrics>=1.4"],
        # MATLAB 7.3 files (save -v7.3), which are HDF5.
        "mat73": ["h5py>=3.10"],
        # Marching cubes and mesh files for the mesh figure; the other figures need nothing more.
        "figures": ["scikit-image>=0.22", "trimesh>=4"],
        # Landmarks of photographs. It brings an OpenCV; a server without libGL takes opencv-python-headless instead.
        "photo": ["mediapipe>=1.2"],
        # Web pages need AVIF pictures; playwright drives a Chromium in their tests.
        "web": ["pillow>=11.3"],
        "browser": ["playwright>=1.49"],
        # The live viewer (anifacegan view).
        "viewer": ["websockets>=14"],
        # Runs the notebooks in their tests.
        "notebooks": ["nbclient>=0.10", "nbformat>=5.10", "ipykernel>=6"],
        # Heads for other programs: the .glb container, which nothing else here needs.
        "glb": ["pygltflib>=1.16.2"],
        # An independent face detector, to judge the demo's frames. Its landmark model is for research only.
        "demo-check": ["dlib-bin>=19.24", "face_recognition_models>=0.3"],
    },
)
