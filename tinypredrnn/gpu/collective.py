"""Several GPUs: the sum of an array over the processes that train together, by NCCL."""

from tinypredrnn.errors import DeviceError


def connect(size, rank):
    """The connection of this process's GPU to those of the others, from cupyx.distributed; MPI is only used to make it.

    DeviceError if there is no NCCL.
    """
    try:
        from cupyx.distributed import init_process_group

        return init_process_group(size, rank, use_mpi=True)
    except (ImportError, RuntimeError) as error:
        raise DeviceError(f"several GPUs need NCCL, which CuPy does not find ({error}): pip install nvidia-nccl-cu13, "
                          "or nvidia-nccl-cu12 for CUDA 12, or start one process") from error
