"""What programs hand to the front door: whatever can be understood works, everything else is one InputError."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.small_models import write_small_model

ROOT = Path(__file__).resolve().parents[2]
START = """
import sys
import numpy as np, torch
from anifacegan import InputError, load_avatar, load_model
model = load_model(sys.argv[1])
exp = model.expression("jawOpen")[0]
zeros = np.zeros((1, 80), np.float32)
nan = float("nan")
def refused(call, said=""):
    try:
        call()
    except InputError as error:
        assert str(error).isprintable() and said in str(error), error
    else:
        raise SystemExit("was not refused")
def same(*calls):
    first, *others = (call() for call in calls)
    assert all(torch.equal(first.render(size=8), other.render(size=8)) for other in others)
"""
CASES = {
    "seeds": "same(lambda: model.face(7), lambda: model.face(np.int64(7)), lambda: model.face(torch.tensor(7)))",
    "expressions": "same(*(lambda e=e: model.face(1, e) for e in "
    "('jawOpen', {'jawOpen': 1}, exp, exp.numpy(), exp[None], exp.numpy()[None], exp.tolist(), exp.double())))",
    "latents": "same(*(lambda z=z: model.face(latents=(z, z)) for z in "
    "(torch.zeros(1, 80), zeros, zeros[0], torch.zeros(1, 80).double(), zeros.tolist())))",
    "devices": "load_model(sys.argv[1], device='auto'); [refused(lambda d=d: load_model(sys.argv[1], device=d)) "
    "for d in ('gpu', '', 0, 'cuda:99')]",
    "odd seeds": "[refused(lambda s=s: model.face(s)) for s in (1.5, 'a', True, -1, 2**63, 2**64, [1], torch.ones(2))]",
    "odd expressions": "[refused(lambda e=e: model.face(1, e)) for e in (exp[:63], exp * nan, exp * 1e38, "
    "exp.tolist()[:3], 3, [[1], [2, 3]], {'jawOpen': nan}, {'jawOpen': 'x'}, {'unknown': 1}, 'jawOpen=1e38', "
    "'jawOpen=nan', b'x', exp.bool())]",
    "odd latents": "[refused(lambda z=z: model.face(latents=z)) for z in "
    "(zeros, (zeros,), (zeros, zeros[:, :3]), (zeros * nan, zeros), (None, zeros), 3, (zeros + 1e30, zeros))]",
    "odd angles": "[refused(lambda a=a: model.face(1).render(size=8, **a)) for a in ({'yaw': nan}, "
    "{'pitch': float('inf')}, {'yaw': 20}, {'yaw': '0.1'}, {'yaw': None}, {'yaw': np.ones(2)})]; "
    "model.face(1).render(size=8, yaw=np.float32(0.1))",
    "odd sizes": "[refused(lambda s=s: model.face(1).render(size=s)) for s in (1, 0, -3, 10**9, 8.5, '8', None, nan)]; "
    "model.face(1).render(size=np.int64(8))",
    "odd psi": "[refused(lambda p=p: model.face(1, psi=p)) for p in (nan, 'a', None, 1e30, 70, 1j)]",
    "sets": "face = model.face(1); assert len({face, model, model.face(1)}) == 3 and face == face",
    "odd switches": "[refused(lambda v=v: model.face(1).render(size=8, antialias=v)) for v in ('no', '', 2.0)]; "
    "model.face(1).render(size=8, antialias=np.bool_(False))",
    "odd paths": "[refused(lambda p=p: load_model(p)) for p in ('', 'a\\0b', 3, None, '~nobody-here/x', "
    "'x' * 5000, [])]; "
    "[refused(lambda p=p: load_model(p), f'path is {p!r}, expected a text or Path') for p in (b'demo', 5)]; "
    "[refused(lambda p=p: load_avatar(p)) for p in ('', 'a\\0b', 3, None, '.', 'x' * 5000)]",
    "files of photographs": "from anifacegan.capture import avatar_from_photo, refined_from_photo; "
    "grey = np.zeros((64, 64), np.uint8); "
    "[refused(lambda p=p: avatar_from_photo(model, grey, person_model=p)) for p in ('absent.whl', '', 3, [])]; "
    "[refused(lambda m=m: avatar_from_photo(m, grey)) for m in ('demo', None, avatar_from_photo)]; "
    "[refused(lambda c=c: refined_from_photo(model, grey, config=c)) for c in (3, 'x', {})]; "
    "from anifacegan.capture.landmark_model import landmark_model_bytes; "
    "[refused(lambda p=p: landmark_model_bytes(p)) for p in ('absent.task', '', 3)]",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("front door") / "model")


def test_everything_is_understood_or_refused(model: Path) -> None:
    """In a process without the tests' checks of types, which would refuse what the package has to."""
    code = START + "".join(f"print({name!r}, flush=True)\n{case}\n" for name, case in CASES.items())
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(model)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert done.stdout.splitlines() == list(CASES)


def test_a_process_that_has_drawn_may_fork(model: Path) -> None:
    """A pool of PyTorch's threads does not live on in the child, which would wait for it without end."""
    code = """
import os, sys, time, torch
torch.set_num_threads(2)
from anifacegan import load_model
face = load_model(sys.argv[1]).face(1, "jawOpen")
before = face.render(size=24)
torch.ones(500, 500) @ torch.ones(500, 500)
child = os.fork()
if child == 0:
    os._exit(0 if torch.allclose(face.render(size=24), before, atol=1e-4) else 1)
for _ in range(600):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.1)
os.kill(child, 9)
sys.exit("the child hangs")
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-W", "ignore", "-c", code, str(model)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
