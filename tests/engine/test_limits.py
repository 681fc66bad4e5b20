"""Resource limits of containers, schedulers and shells; each setup is a small directory tree."""

import subprocess
import sys

import psutil
import pytest

from sarcd.engine import memory as _limits
from sarcd.engine.memory import cores, free_memory, memory_limits

GIB = 2**30
PAGES = 9223372036854771712  # no limit, in version 1 with 4 KiB pages


@pytest.fixture(autouse=True)
def no_resource_limits(monkeypatch):
    """Ignore the limits of the shell that runs the tests."""
    monkeypatch.setattr(_limits, "_of_process", list)


class Machine:
    """A folder with /proc and /sys as a process in a container sees them."""

    def __init__(self, root):
        self.root = root

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def process(self, groups, *mounts):
        """Write the groups of a process ("4:memory:/a") and mounts (root, folder, kind, options)."""
        self.write("/proc/self/cgroup", groups)
        lines = [f"30 23 0:{n} {a} {b} rw - {kind} none {options}" for n, (a, b, kind, options) in enumerate(mounts)]
        self.write("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + "\n".join(lines))

    def two(self, folder, *, most="max", high="max", current=0, inactive=0):
        """Write a group of cgroup version 2."""
        self.write(f"{folder}/memory.max", most)
        self.write(f"{folder}/memory.high", high)
        self.write(f"{folder}/memory.current", current)
        self.write(f"{folder}/memory.stat", f"anon 5\ninactive_file {inactive}")

    def one(self, folder, *, most=PAGES, usage=0, inactive=0, above=PAGES, hierarchy=1):
        """Write a group of cgroup version 1."""
        self.write(f"{folder}/memory.limit_in_bytes", most)
        self.write(f"{folder}/memory.usage_in_bytes", usage)
        stat = f"inactive_file 1\nhierarchical_memory_limit {above}\ntotal_inactive_file {inactive}"
        self.write(f"{folder}/memory.stat", stat)
        self.write(f"{folder}/memory.use_hierarchy", hierarchy)

    def least(self, **environ):
        found = sorted(memory_limits(self.root, environ), key=lambda limit: limit.free)
        return (found[0].free, found[0].source) if found else None


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


V2 = ("/", "/sys/fs/cgroup", "cgroup2", "rw")
V1 = ("/", "/sys/fs/cgroup/memory", "cgroup", "rw,memory")


def test_version_2_in_a_namespace_of_its_own(machine):
    machine.process("0::/", V2)
    machine.two("/sys/fs/cgroup", most=4 * GIB, current=GIB)
    assert machine.least() == (3 * GIB, "left by memory.max of control group /")
    machine.two("/sys/fs/cgroup", most=4 * GIB, current=5 * GIB)
    assert machine.least()[0] == 0
    machine.two("/sys/fs/cgroup", current=GIB)
    assert machine.least() is None


def test_cached_files_that_nobody_uses_are_free(machine):
    machine.process("0::/", V2)
    machine.two("/sys/fs/cgroup", most=4 * GIB, current=3 * GIB, inactive=2 * GIB)
    assert machine.least()[0] == 3 * GIB
    machine.process("4:memory:/", V1)
    machine.one("/sys/fs/cgroup/memory", most=4 * GIB, usage=3 * GIB, inactive=GIB)
    assert machine.least()[0] == 2 * GIB


def test_of_all_groups_above_the_tightest_counts(machine):
    machine.process("0::/user.slice/app.slice/job.scope", V2)
    machine.two("/sys/fs/cgroup/user.slice/app.slice/job.scope", most=8 * GIB)
    machine.two("/sys/fs/cgroup/user.slice/app.slice", most=6 * GIB, current=5 * GIB)  # siblings use part of it too
    machine.two("/sys/fs/cgroup/user.slice")
    assert machine.least() == (GIB, "left by memory.max of control group /user.slice/app.slice")


def test_a_group_without_the_memory_controller_is_limited_by_those_above(machine):
    machine.process("0::/a/b", V2)
    machine.write("/sys/fs/cgroup/a/b/cgroup.procs", "1")
    machine.two("/sys/fs/cgroup/a", most=GIB)
    assert machine.least()[0] == GIB


def test_where_a_group_is_slowed_down_is_a_limit(machine):
    machine.process("0::/a", V2)
    machine.two("/sys/fs/cgroup/a", most=4 * GIB, high=2 * GIB, current=GIB)
    assert machine.least() == (GIB, "left by memory.high of control group /a")


@pytest.mark.parametrize("path", ["/../../kubepods/pod1", "/kubepods/pod1/abc"])
def test_a_path_of_the_host_means_the_root_of_what_is_mounted(machine, path):
    machine.process(f"0::{path}", V2)
    machine.two("/sys/fs/cgroup", most=GIB)
    assert machine.least()[0] == GIB


def test_version_1_as_docker_mounts_it(machine):
    machine.process("4:memory:/docker/abc\n0::/", ("/docker/abc", *V1[1:]))
    machine.one("/sys/fs/cgroup/memory", most=2 * GIB, usage=GIB)
    assert machine.least() == (GIB, "left by memory.limit_in_bytes of control group /docker/abc")
    machine.process("4:memory:/docker/abc/worker", ("/docker/abc", *V1[1:]))
    machine.one("/sys/fs/cgroup/memory/worker", most=3 * GIB, usage=GIB * 5 // 2)
    assert machine.least() == (GIB // 2, "left by memory.limit_in_bytes of control group /docker/abc/worker")


@pytest.mark.parametrize("most", [PAGES, 9223372036854710272, 2**63 - 1])  # 4 and 64 KiB pages; no limit
def test_the_largest_number_of_version_1_is_no_limit(machine, most):
    machine.process("4:memory:/a", V1)
    machine.one("/sys/fs/cgroup/memory/a", most=most, above=most)
    assert machine.least() is None


def test_version_1_tells_of_groups_that_the_container_does_not_see(machine):
    machine.process("4:memory:/", V1)
    machine.one("/sys/fs/cgroup/memory", above=3 * GIB, usage=GIB)
    assert machine.least() == (2 * GIB, "left by hierarchical_memory_limit of control group /")


def test_version_1_may_leave_members_out_of_the_groups_above(machine):
    machine.process("4:memory:/a/b", V1)
    machine.one("/sys/fs/cgroup/memory/a/b", most=4 * GIB)
    machine.one("/sys/fs/cgroup/memory/a", most=GIB, hierarchy=0)
    assert machine.least()[0] == 4 * GIB
    machine.one("/sys/fs/cgroup/memory/a", most=GIB, hierarchy=1)
    assert machine.least()[0] == GIB


def test_both_versions_at_once(machine):
    unified = ("/", "/sys/fs/cgroup/unified", "cgroup2", "rw")
    cpu = ("/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct")
    machine.process("9:name=systemd:/\n4:memory:/a\n1:cpu,cpuacct:/a\n0::/", cpu, V1, unified)
    machine.write("/sys/fs/cgroup/unified/cgroup.procs", "1")
    machine.one("/sys/fs/cgroup/memory/a", most=GIB)
    machine.write("/sys/fs/cgroup/cpu,cpuacct/memory.limit_in_bytes", "5")  # not a memory controller
    assert machine.least()[0] == GIB


def test_without_a_list_of_mounts_the_usual_places_are_read(machine):
    machine.write("/proc/self/cgroup", "4:memory:/a")
    machine.one("/sys/fs/cgroup/memory/a", most=GIB)
    assert machine.least()[0] == GIB


def test_a_folder_with_a_space(machine):
    machine.process("0::/a", ("/", r"/run/my\040groups", "cgroup2", "rw"))
    machine.two("/run/my groups/a", most=GIB)
    assert machine.least()[0] == GIB


@pytest.mark.parametrize("text", ["", "nonsense", "-1", "\xb2"])
def test_what_is_no_number_limits_nothing(machine, text):
    machine.process("0::/\n::\nx", V2)
    machine.two("/sys/fs/cgroup", most=text, high=text, current=text)
    machine.write("/sys/fs/cgroup/cpu.max", text)
    assert machine.least() is None
    assert cores(machine.root, {}) == _limits._affinity()


def test_slurm_by_groups_of_either_version(machine):
    machine.process("4:memory:/slurm/uid_0/job_1/step_0/task_0", V1)
    machine.one("/sys/fs/cgroup/memory/slurm/uid_0/job_1/step_0/task_0")
    machine.one("/sys/fs/cgroup/memory/slurm/uid_0/job_1/step_0", most=3 * GIB)
    machine.one("/sys/fs/cgroup/memory/slurm/uid_0/job_1", most=2 * GIB, usage=GIB)
    assert machine.least() == (GIB, "left by memory.limit_in_bytes of control group /slurm/uid_0/job_1")
    job = "/system.slice/slurmstepd.scope/job_1"
    machine.process(f"0::{job}/step_0/user/task_0", V2)
    machine.two(f"/sys/fs/cgroup{job}/step_0/user/task_0")
    machine.two(f"/sys/fs/cgroup{job}", most=2 * GIB)
    assert machine.least() == (2 * GIB, f"left by memory.max of control group {job}")


def test_what_slurm_promised_where_no_group_holds_it(machine):
    def slurm_memory(**variables):
        found = machine.least(SLURM_JOB_ID="1", **variables)
        return found and (found[0] + psutil.Process().memory_info().rss) / GIB  # minus what is already used

    assert slurm_memory(SLURM_MEM_PER_NODE="8192") == pytest.approx(8, abs=0.1)
    assert slurm_memory(SLURM_MEM_PER_CPU="4096", SLURM_CPUS_ON_NODE="3") == pytest.approx(12, abs=0.1)
    assert slurm_memory(SLURM_MEM_PER_GPU="6144", SLURM_GPUS_ON_NODE="2") == pytest.approx(12, abs=0.1)
    assert slurm_memory(SLURM_MEM_PER_NODE="0") is None  # all memory of the node
    assert slurm_memory(SLURM_MEM_PER_CPU="4096") is None  # the number of CPUs is missing
    assert machine.least(SLURM_MEM_PER_NODE="8192") is None  # left in the environment outside a job


def test_without_such_files_the_machine_alone_counts(machine):
    assert machine.least() is None
    found = free_memory(machine.root, {})
    assert found.source == "free in this machine"
    assert 0 < found.free <= psutil.virtual_memory().total
    assert cores(machine.root, {}) == _limits._affinity()


def test_the_least_of_all_is_what_is_free(machine):
    machine.process("0::/", V2)
    machine.two("/sys/fs/cgroup", most=1000)
    assert free_memory(machine.root, {}) == _limits.Limit(1000, "left by memory.max of control group /")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold processes to such limits")
@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_limits_of_the_shell(name):
    """Run in a separate process, because a lowered limit cannot be raised again."""
    code = (
        f"import resource; resource.setrlimit(resource.{name}, (2**35, 2**35))\n"
        "from sarcd.engine import memory as _limits\n"
        "print(*[(limit.source, 0 < limit.free < 2**35) for limit in _limits._of_process()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"('left by {name}', True)" in done.stdout


def test_a_system_without_resource_limits(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "resource", None)
    assert list(_limits._of_process()) == []


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 8), ("150000 100000", 2), ("20000 100000", 1)])
def test_cores_of_a_quota_are_rounded_up(machine, monkeypatch, quota, expected):
    monkeypatch.setattr(_limits, "_affinity", lambda: 8)
    machine.process("0::/a/b", V2)
    machine.write("/sys/fs/cgroup/a/b/cpu.max", "max 100000")
    machine.write("/sys/fs/cgroup/a/cpu.max", quota)
    assert cores(machine.root, {}) == expected


@pytest.mark.parametrize(("quota", "expected"), [(-1, 8), (250000, 3), (900000, 8)])
def test_cores_of_a_quota_of_version_1(machine, monkeypatch, quota, expected):
    monkeypatch.setattr(_limits, "_affinity", lambda: 8)
    machine.process("3:cpu,cpuacct:/a", ("/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"))
    machine.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", quota)
    machine.write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", 100000)
    assert cores(machine.root, {}) == expected


def test_cores_of_a_slurm_job(machine, monkeypatch):
    monkeypatch.setattr(_limits, "_affinity", lambda: 64)
    assert cores(machine.root, {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "16"}) == 16
    both = {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "16", "SLURM_CPUS_PER_TASK": "4"}
    assert cores(machine.root, both) == 4
    assert cores(machine.root, {"SLURM_CPUS_ON_NODE": "16"}) == 64
