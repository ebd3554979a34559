"""What is installed: the package, and in it as tinypredrnn/lessons the course, which the repository has beside it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from setuptools import find_packages, setup

build_folder = TemporaryDirectory()  # one that stays would bring removed modules back

setup(
    name="tinypredrnn",
    version="0.1.0",
    description="Spatiotemporal prediction, from a + b to PredRNN, on an autograd of its own",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    classifiers=[
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.10",
    packages=[*find_packages(include=["tinypredrnn", "tinypredrnn.*"]), "tinypredrnn.lessons"],
    package_dir={"tinypredrnn.lessons": "lessons"},
    package_data={"tinypredrnn": ["pretrained/*", "gpu/*.cu", "gpu/*.cuh", "course/*.html", "course/*.css"],
                  "tinypredrnn.lessons": ["*.md", "pictures/*.png", "pictures/*.gif"]},
    entry_points={"console_scripts": ["tinypredrnn = tinypredrnn.__main__:console"]},
    options={"build": {"build_base": build_folder.name}},
    install_requires=["numpy>=2", "numba>=0.60", "scikit-image>=0.24", "matplotlib>=3.8", "tqdm>=4.60", "pooch>=1.8",
                      "threadpoolctl>=3",
                      "scipy>=1.13", "networkx>=3.2", "pillow>=10.1"],  # which scikit-image needs as well
    extras_require={
        "gpu": ["cupy-cuda13x[ctk]>=14"],
        "gpu12": ["cupy-cuda12x[ctk]>=14"],
        "mpi": ["mpi4py>=4", "mpich; sys_platform != 'win32'", "impi-rt; sys_platform == 'win32'"],
        "radar": ["xarray>=2024.1", "netcdf4", "h5netcdf", "h5py", "zarr"],
        "video": ["imageio-ffmpeg"],
        "pages": ["jinja2>=3", "markdown-it-py>=3", "mdit-py-plugins>=0.4", "latex2mathml>=3.77", "pygments>=2.15",
                  "nbformat>=5.7"],
        # setuptools: a test builds the wheel; html5lib, nbclient, ipykernel, playwright: pages and notebooks are tried
        "test": ["pytest>=8", "pytest-xdist>=3", "ruff", "setuptools>=70.1", "html5lib", "nbclient", "ipykernel",
                 "playwright", "tinypredrnn[pages,radar]", "tinypredrnn[mpi]; sys_platform == 'linux'"],
    },
)
