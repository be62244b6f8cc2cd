#!/bin/bash
# Pre-train on a Slurm cluster: one task a node, which starts one process a GPU.
#
#   sbatch recipes/launch/slurm.sh /shared/runs/mine --recipe my.yaml tokens=/shared/tokens
#
# Tokens and run folder lie on a file system that all nodes see. Two minutes before the time is over, or before the job
# has to make room, the run saves and ends, and the job queues itself again. It then goes on where it stopped, on
# another number of nodes, too (`parallel` in the recipe must allow it).
#SBATCH --job-name=headstart
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -u
run=$1
shift

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000)) # two jobs on one node do not meet
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}

# The run is asked by its control file: torchrun would give its processes half a minute after a signal.
stopping=
trap 'stopping=yes; python -m headstart control "$run" stop' TERM

srun torchrun \
    --nnodes "$SLURM_NNODES" \
    --nproc-per-node "${SLURM_GPUS_ON_NODE:-8}" \
    --rdzv-backend c10d --rdzv-endpoint "$first:$port" --rdzv-id "$SLURM_JOB_ID" \
    -m headstart pretrain --out "$run" "$@" &
step=$!
wait $step # a trap ends this one
wait $step
code=$?

if [ -n "$stopping" ] && [ ! -e "$run/model/config.json" ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
