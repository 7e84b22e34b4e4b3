"""The cluster's scripts, with stand-ins for SLURM's programs that note how they are called."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "slurm" / "train.sbatch"

# What srun stands in for: training that ends when asked to, having saved its state.
PROGRAMS = {
    "scontrol": 'echo "scontrol $*" >> calls\nif [[ $1 == show ]]; then printf "one\\ntwo\\n"; fi',
    "srun": "echo \"srun $*\" >> calls\ntrap 'echo saved >> calls; exit $(cat code_when_stopped)' TERM\n"
    "touch started\nwhile [[ -f keep_going ]]; do sleep 0.05; done\nexit $(cat code)",
}


@pytest.fixture
def cluster(tmp_path):
    for name, body in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    (tmp_path / "code").write_text("0")
    (tmp_path / "code_when_stopped").write_text("1")
    return tmp_path


def submit(cluster):
    slurm = {"SLURM_JOB_NODELIST": "[one-two]", "SLURM_JOB_ID": "70001", "SLURM_NNODES": "2"}
    slurm |= {"SLURM_GPUS_ON_NODE": "4", "OUT": "models/mine", "PATH": f"{cluster}:{os.environ['PATH']}"}
    command = ["bash", str(SCRIPT), "--model", "resnet18"]
    return subprocess.Popen(command, cwd=cluster, env=os.environ | slurm)


def calls(cluster):
    return (cluster / "calls").read_text().splitlines()


@pytest.mark.parametrize("resume", [False, True])
def test_one_torchrun_a_machine_goes_on_where_there_is_a_state(cluster, resume):
    if resume:
        (cluster / "models" / "mine").mkdir(parents=True)
        (cluster / "models" / "mine" / "state.pt").touch()
    assert submit(cluster).wait(60) == 0
    show, run = calls(cluster)
    assert show == "scontrol show hostnames [one-two]"
    assert "torchrun --nnodes 2 --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint one:30001" in run
    train = "-m fer.train --out models/mine --resume --model resnet18"
    assert run.endswith(train if resume else train.replace(" --resume", ""))


@pytest.mark.parametrize(("code", "queued"), [("1", ["scontrol requeue 70001"]), ("0", [])])
def test_out_of_time_it_saves_and_queues_again_unless_it_has_finished(cluster, wait_until, code, queued):
    """Then there is nothing left to resume: the job would only fail."""
    (cluster / "keep_going").touch()
    (cluster / "code_when_stopped").write_text(code)
    job = submit(cluster)
    wait_until((cluster / "started").exists)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == int(code)
    assert calls(cluster)[2:] == ["saved", *queued]


def test_after_an_error_it_does_not_queue_again(cluster):
    (cluster / "code").write_text("1")
    assert submit(cluster).wait(60) == 1
    assert not any("requeue" in call for call in calls(cluster))


def test_the_script_asks_slurm_for_what_it_relies_on():
    asked = [line.split()[1] for line in SCRIPT.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {"--requeue", "--ntasks-per-node=1", "--open-mode=append", "--signal=B:USR1@180"} <= set(asked)


def test_a_task_of_an_array_does_its_part(cluster):
    (cluster / "python").write_text('#!/bin/bash\necho "python $*" >> calls\n')
    (cluster / "python").chmod(0o755)
    slurm = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "20", "SLURM_CPUS_PER_TASK": "8"}
    slurm["PATH"] = f"{cluster}:{os.environ['PATH']}"
    command = ["bash", str(SCRIPT.with_name("predict.sbatch")), "my photos", "--csv", "out.csv"]
    subprocess.run(command, cwd=cluster, env=os.environ | slurm, check=True)
    assert calls(cluster) == ["python -m fer.predict my photos --csv out.csv --resume --jobs 8 --part 3/20"]
