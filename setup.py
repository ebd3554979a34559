from setuptools import find_packages, setup

setup(
    name="tinypredrnn",
    version="0.1.0",
    description="Spatiotemporal prediction, from a + b to PredRNN, on an autograd of its own",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["tinypredrnn*"]),
    package_data={"tinypredrnn": ["pretrained/*", "gpu/*.cu", "gpu/*.cuh"]},
    install_requires=["numpy>=2", "numba>=0.60", "scikit-image>=0.24", "matplotlib>=3.8", "tqdm>=4.60", "pooch>=1.8",
                      "threadpoolctl>=3"],
    extras_require={
        "gpu": ["cupy-cuda13x[ctk]>=14"],
        "gpu12": ["cupy-cuda12x[ctk]>=14"],
        "mpi": ["mpi4py>=4", "mpich"],
        "video": ["imageio[ffmpeg]"],
        "test": ["pytest>=8", "ruff"],
    },
)
