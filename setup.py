"""What ``pip install .`` needs to know. Tool settings: pyproject.toml. Tested pins: requirements*.txt."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
README = HERE / "README.md"

setup(
    name="anifacegan",
    version="0.1.0",
    description="Faces that do not exist, which you can turn and make smile: an open AniFaceGAN in PyTorch",
    long_description=README.read_text() if README.exists() else "",
    long_description_content_type="text/markdown",
    author="anifacegan authors",
    license="MIT",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Graphics :: 3D Rendering",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=["anifacegan", "anifacegan.*"]),
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.5",
        "numpy>=1.26,<3",
        "scipy>=1.11",
        "threadpoolctl>=3.1",
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
        # Marching cubes and mesh files, for scripts/figures/mesh.py; the other figures need nothing more.
        "figures": ["scikit-image>=0.22", "trimesh>=4"],
        # An independent face detector, to judge the demo's frames. Its landmark model is for research only.
        "demo-check": ["dlib-bin>=19.24", "face_recognition_models>=0.3"],
    },
)
