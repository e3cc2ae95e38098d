#!/usr/bin/env python3
"""test_deploy.py: the scripts around the programs, mostly where something goes wrong; most of it needs no services."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import harness
from harness import Skipped, expect, expect_equal

NOBODY = 65534


def services(*arguments, script=harness.SERVICES, **options):
    return subprocess.run(["sh", script, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=harness.WAIT_S, **options)


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def with_programs(folder, **more):
    """An environment in which the programs of folder come before the system's."""
    return harness.clean_environment(PATH=f"{folder}:{os.environ['PATH']}", **more)


def written_down(name, process):
    """A line of `processes`."""
    start_time = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]
    return f"{name} {process.pid} {start_time}\n"


def test_gone_at_once(stack):
    """What was gone before its start time could be read is not running, and nothing waits for its end."""
    folder = stack.folder / "gone"
    folder.mkdir()
    process = subprocess.Popen(["true"])
    process.wait()
    (folder / "processes").write_text(f"gone {process.pid} \n")
    expect_equal(services("pid", folder, "gone").returncode, 1, "exit code of pid")
    done = services("stop", folder)
    expect_equal((done.returncode, done.stderr), (0, ""), "stop")


def test_stop_goes_on(stack):
    """What cannot be ended makes stop fail, but all the rest is ended."""
    if os.getuid() != 0:
        raise Skipped("only root can start a process that the script may not signal")
    stack.folder.chmod(0o711)
    folder = stack.folder / "stubborn"
    folder.mkdir()
    script = shutil.copy(harness.SERVICES, folder)
    for part in ("kafka", "versitygw"):
        shutil.copytree(harness.SERVICES.parent / part, folder / part)
    write_program(folder / "sleep", "")  # so that it gives up soon
    mortal = subprocess.Popen(["sleep", "600"], user=NOBODY)
    immortal = subprocess.Popen(["sleep", "600"])
    try:
        (folder / "processes").write_text(written_down("mortal", mortal) + written_down("immortal", immortal))
        done = services("stop", folder, script=script, user=NOBODY,
                        env=with_programs(folder, HOME=str(folder)))
        expect("immortal" in done.stderr and "cannot be ended" in done.stderr, f"stop says {done.stderr!r}")
        expect_equal(done.returncode, 1, "exit code of stop")
        expect(immortal.poll() is None, "the process that may not be signalled has ended")
        expect(mortal.poll() is not None, "the other process still runs")
    finally:
        for process in (mortal, immortal):
            process.kill()
            process.wait()


# ---- what is fetched ---------------------------------------------------------------------------------------

# Brings the jars in $JARS, as Maven would.
MAVEN = 'for word; do case $word in -DoutputDirectory=*) libs=${word#*=} ;; esac; done\nmkdir $libs && cp -l "$JARS"/*.jar $libs\n'


def test_other_jars(stack):
    """Java takes every jar of the folder, so one more than the pinned ones is refused, and so is one that is another."""
    folder = stack.folder / "jars"
    write_program(folder / "bin/mvn", MAVEN)
    shutil.copytree(services("fetch-kafka").stdout.strip(), folder / "given")

    def fetch():
        return services("fetch-kafka", env=with_programs(folder / "bin", JARS=str(folder / "given"),
                                                         SKINSIGHT_CACHE_DIR=str(folder / "cache")))

    extra = folder / "given/extra.jar"
    extra.write_bytes(b"PK")
    done = fetch()
    expect_equal((done.returncode, done.stderr.splitlines()[-1]), (1, "services.sh: Kafka came with other jars"), "fetch")
    jar = next(folder.glob("given/kafka-clients-*.jar"))
    extra.rename(jar)
    expect_equal(fetch().returncode, 1, "exit code with another jar")
    expect_equal(list((folder / "cache").iterdir()), [], "what a refused fetch leaves")
    shutil.copy(pathlib.Path(services("fetch-kafka").stdout.strip()) / jar.name, jar)
    expect_equal(fetch().returncode, 0, "exit code with the pinned jars")


def test_install_waits(stack):
    """apt that is busy is asked again, a bounded number of times."""
    folder = stack.folder / "apt"
    log = folder / "log"
    for name, text in (("dpkg-query", ""), ("sleep", ""), ("systemctl", ""), ("sudo", 'exec "$@"\n'),
                       ("apt-get", f'echo "$*" >>{log}\n[ $(grep -c update {log}) -gt $FAILURES ]\n')):
        write_program(folder / name, text)
    for failures, code, updates in ((3, 0, 4), (1000, 1, 12)):
        log.unlink(missing_ok=True)
        done = subprocess.run(["sh", harness.ROOT / "deploy/install.sh"], capture_output=True, text=True,
                              env=with_programs(folder, FAILURES=str(failures)))
        expect_equal(done.returncode, code, f"exit code after {failures} failures ({done.stderr})")
        calls = log.read_text().splitlines()
        expect_equal(sum("update" in call for call in calls), updates, f"updates with {failures} failures")
        expect_equal(sum("Lock::Timeout=300 install" in call for call in calls), 1 - code, "installations")


# ---- the build's name --------------------------------------------------------------------------------------


def git(folder, *arguments):
    return subprocess.run(["git", "-C", folder, "-c", "user.name=nobody", "-c", "user.email=nobody", *arguments],
                          capture_output=True, text=True, check=True).stdout.strip()


def build_name(tree):
    header = tree / "build_name.h"
    subprocess.run(["sh", tree / "common/base/build_name.sh", "1.2.3", header], check=True)
    before = header.stat().st_mtime_ns
    subprocess.run(["sh", tree / "common/base/build_name.sh", "1.2.3", header], check=True)
    expect_equal(header.stat().st_mtime_ns, before, "time of the header that need not change")
    return re.fullmatch(r'#define SKINSIGHT_BUILD "1\.2\.3\+([0-9a-z-]+)"\n', header.read_text()).group(1)


def test_build_name(stack):
    """The commit where the sources are its own, else a name that every change of them changes."""
    tree = stack.folder / "a tree"
    for folder in ("common/base", "kernels/cpu", "worker", "producer", "trainer"):
        (tree / folder).mkdir(parents=True)
        (tree / folder / "file.c").write_text("// one\n")
    for file in ("CMakeLists.txt", "CMakePresets.json", "common/base/build_name.sh"):
        shutil.copy(harness.ROOT / file, tree / file)
    names = [build_name(tree)]
    expect(names[0].startswith("unknown-"), f"name without git: {names[0]}")
    (tree / "kernels/cpu/file.c").write_text("// two\n")
    names.append(build_name(tree))

    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "one")
    names.append(build_name(tree))
    expect_equal(names[-1], git(tree, "rev-parse", "--short=12", "HEAD"), "name of a clean tree")
    (tree / "README.md").write_text("not compiled")
    expect_equal(build_name(tree), names[-1], "name with a file that is not compiled")
    for file, text in (("worker/file.c", "// two\n"), ("worker/file.c", "// three\n"), ("kernels/new.c", "")):
        (tree / file).write_text(text)
        names.append(build_name(tree))
        expect(names[-1].startswith(names[2] + "-dirty-"), f"name after a change of {file}: {names[-1]}")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "two")
    names.append(build_name(tree))
    expect_equal(len(set(names)), len(names), f"different names of {names}")
    git(tree, "worktree", "add", "-q", stack.folder / "other", "HEAD~1")
    expect_equal(build_name(stack.folder / "other"), names[2], "name in a worktree of the first commit")


# ---- the whole test run ------------------------------------------------------------------------------------


def test_run_without_cuda(stack):
    """A toolkit that can't be fetched skips what needs it, says so, and is no reason to test nothing."""
    tree = stack.folder / "run"
    for script, text in (("deploy/install.sh", ""), ("deploy/services.sh", "echo somewhere\n"), ("deploy/cuda.sh", "exit 1\n"),
                         ("bin/cmake", f'echo "$*" >>"{tree}/cmake.log"\n'),
                         ("bin/ctest", "mkdir -p build/all/Testing/Temporary && : >build/all/Testing/Temporary/LastTest.log\n")):
        write_program(tree / script, text)
    (tree / "tests").mkdir()
    script = shutil.copy(harness.ROOT / "tests/run.sh", tree / "tests")
    done = subprocess.run(["bash", script], capture_output=True, text=True, env=with_programs(tree / "bin"))
    expect_equal(done.returncode, 0, f"exit code of run.sh ({done.stderr})")
    expect(re.search(r"^kernels/cuda skipped: .*cuda\.sh", done.stdout, re.MULTILINE), f"run.sh says {done.stdout!r}")
    for preset in ("dev", "release"):
        expect(f"--preset {preset} -DSKINSIGHT_CUDA=OFF\n" in (tree / "cmake.log").read_text(), f"CUDA in {preset}")


if __name__ == "__main__":
    harness.main([test_gone_at_once, test_stop_goes_on, test_other_jars, test_install_waits, test_build_name,
                  test_run_without_cuda])
