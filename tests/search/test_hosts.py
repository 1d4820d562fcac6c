"""Other machines, as far as one machine can tell: what search.yml says of them, NNI's port, what a trial there has."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import nni_node
import pytest
import yaml

import nas
from nas import NasError
from nas.search import door, knocking
from nas.search.config import SearchConfig
from nas.search.guard import ADDRESS, PEERS, at_door
from nas.search.hosts import address_for, check_cluster, check_machines, command_for, is_local, with_key_files
from nas.search.options import options_of
from nas.search.placing import documents_for_others
from nas.search.reporter import Reporter
from nas.search.subject import SpaceSubject
from nas.search.task import load_space, task_of

ROOT = Path(__file__).parents[2]
FOLDER = Path(nni_node.__path__[0])
NODE = str(FOLDER / "node")
YML = Path("search.yml")


def data(*machines: dict, **changes: object) -> dict:
    return {"trialCommand": "python -m nas.search.trial",
            "trainingService": {"platform": "remote", "machineList": list(machines)}, **changes}  # fmt: skip


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key"
    path.write_text("a key")
    path.chmod(0o600)
    return path


def refused(content: dict) -> str:
    with pytest.raises(NasError) as error:
        check_machines(content, lambda *keys: "search.yml, line 9")
    sentence = str(error.value)
    assert sentence.startswith("search.yml, line 9: ")
    assert "\n" not in sentence
    return sentence


# search.yml


def test_keys_must_be_there_and_the_users_alone(key, tmp_path):
    machine = {"host": "a", "user": "me", "sshKeyFile": str(key)}
    check_machines(data(machine), lambda *keys: "")
    key.chmod(0o640)
    assert "which others than you may read (mode 640); chmod 600 it" in refused(data(machine))
    assert "cannot be read (No such file or directory)" in refused(data({**machine, "sshKeyFile": f"{key}2"}))
    assert "no regular file" in refused(data({**machine, "sshKeyFile": str(tmp_path)}))
    check_machines(data({"host": "a", "user": "me", "password": "secret"}), lambda *keys: "")


@pytest.mark.parametrize("machine", [{"user": "me"}, {"host": "a"}, {"host": "", "user": "me"}])
def test_a_machine_has_a_host_and_a_user(machine):
    assert "give both host and user" in refused(data(machine))


@pytest.mark.parametrize("loud", [{"debug": True}, {"logLevel": "debug"}, {"logLevel": "trace"}])
def test_passwords_are_kept_out_of_nnis_log_and_of_the_sentence(loud):
    sentence = refused(data({"host": "a", "user": "me", "password": "Geheim-1"}, **loud))
    assert "NNI writes password of this file into its log" in sentence
    assert "Geheim-1" not in sentence


def test_relative_keys_are_beside_search_yml_and_a_password_needs_none(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    machines = [
        {"host": "a", "sshKeyFile": "keys/a"},
        {"host": "b"},
        {"host": "c", "password": "x", "sshKeyFile": "k"},
    ]
    found = with_key_files(data(*machines), tmp_path)["trainingService"]["machineList"]
    assert [one.get("sshKeyFile") for one in found] == [
        str(tmp_path / "keys/a"),
        "/home/me/.ssh/id_rsa",
        None,
    ]


@pytest.mark.parametrize(
    ("written", "there"),
    [
        (".venv/bin/python -m x", "python -m x"),
        ("python3.11 -m x", "python3.11 -m x"),
        ("/opt/py/bin/python -m x", "/opt/py/bin/python -m x"),
        ("./evaluate.sh python", "./evaluate.sh python"),
        (
            'python -m x --data "npz:$HOME/a b.npz" 2> err # log',
            'python -m x --data "npz:$HOME/a b.npz" 2> err # log',
        ),
        ('".venv/bin/python"  -m x >$HOME/out', "python  -m x >$HOME/out"),
        (".venv/bin/python", "python"),
    ],
)
def test_a_host_has_its_own_interpreter(written, there):
    assert command_for(data(trialCommand=written)) == there


def test_of_a_command_at_home_the_first_word_alone_is_replaced(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/my venv/bin/python")
    here = {"trainingService": {"platform": "local"}}
    written = {
        'python -m x --data "npz:$HOME/x.npz" 2> err': "'/my venv/bin/python' -m x --data \"npz:$HOME/x.npz\" 2> err",
        "A=1 python -m x": "A=1 python -m x",
    }
    assert {text: command_for({"trialCommand": text, **here}) for text in written} == written


def test_several_services_are_not_local_and_this_machines_address_is_found():
    several = {"trainingService": [{"platform": "local"}, data({"host": "127.0.0.1"})["trainingService"]]}
    assert not is_local(several)
    assert address_for(several, YML) == "127.0.0.1"
    assert address_for({**several, "nniManagerIp": "10.1.2.3"}, YML) == "10.1.2.3"
    with pytest.raises(NasError, match=r"search\.yml: host nowhere\.invalid .* has no address"):
        address_for(data({"host": "nowhere.invalid"}), YML)


@pytest.mark.parametrize("port", ["ssh", 0, 70_000, True])
def test_a_port_is_a_number(port, key):
    with pytest.raises(NasError, match=rf"port of host h is {port!r}; give a number from 1 to 65535"):
        check_machines(
            data({"host": "h", "user": "me", "port": port, "sshKeyFile": str(key)}), lambda *_: "y"
        )


def test_no_machine_is_too_few():
    with pytest.raises(NasError, match="give one or more, each with its host and user"):
        check_machines(data(), lambda *_: "y")


def test_a_cluster_that_nni_is_not_told_of_is_missed_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    pods = {"trainingService": {"platform": "frameworkcontroller"}}
    with pytest.raises(NasError, match=r"search\.yml: trials on frameworkcontroller need a cluster"):
        check_cluster(pods, YML)
    (tmp_path / "config").touch()
    check_cluster(pods, YML)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["gone", str(tmp_path / "config")]))
    check_cluster(pods, YML)


def test_nnis_own_tuners_keep_no_journal_on_other_machines(key, tmp_path):
    (tmp_path / "space.json").write_text('{"a": {"_type": "choice", "_value": [1]}}')
    (tmp_path / "search.yml").write_text(yaml.safe_dump(data(
        {"host": "127.0.0.1", "user": "me", "sshKeyFile": str(key)}, searchSpaceFile="space.json", maxTrialNumber=2,
        trialConcurrency=1, tuner={"name": "Random"},
        trialCommand="python -m nas.search.trial --data digits --space digits",
    )))  # fmt: skip
    with pytest.raises(
        NasError, match=r"tuner is NNI's Random, .* className: nas\.search\.tuner\.StrategyTuner"
    ):
        SearchConfig.read(tmp_path / "search.yml")


# What a host says


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"level": "client-authentication", "message": ""}, "does not let me in with the key k; mend it"),
        (
            {"level": "client-socket", "message": "connect ECONNREFUSED"},
            "cannot be reached at port 22 (connect ECONN",
        ),
        (
            {"level": "key", "message": "Unsupported key format"},
            "the key k is of no use (Unsupported key format)",
        ),
        ({"level": "python", "message": ""}, "has no python that runs on its PATH; name the folder"),
        (
            {"level": "slow", "message": "its python took over 20 s"},
            "lets me in, and its python took over 20 s; try again when it is idle, or take it out of machineList",
        ),
        (
            {"answer": json.dumps({"python": "/p", "source": "1.2.3.4", "nas": False})},
            "has no b0nas for /p; install",
        ),
        (
            {"answer": json.dumps({"python": "/p", "nas": True, "lost": "Network is unreachable"})},
            "has no way to 127.0.0.1, this machine's address (Network is unreachable); mend its network, or give",
        ),
        (
            {"answer": "welcome\n" + json.dumps({"python": "/p", "source": "1.2.3.4", "nas": True})},
            "answers a command with 'welcome",
        ),
        ({"answer": ""}, "answers a command with ''"),
        (
            {"answer": "5"},
            "as where ~/.bashrc prints something, which NNI cannot read; have it print nothing",
        ),
    ],
)
def test_a_host_that_takes_no_part_is_told_in_a_sentence(monkeypatch, tmp_path, answer, sentence):
    upload = {"files": 1, "bytes": 1, "most": "", "names": [], "unreadable": "", "message": ""}
    monkeypatch.setattr(knocking, "_asked", lambda *words: {"hosts": [answer], "upload": upload})
    content = data({"host": "127.0.0.9", "user": "me", "sshKeyFile": "k"})
    found = knocking.knock(content, "127.0.0.1", Path("search.yml"), tmp_path, print)
    assert found.peers == []
    assert len(found.refused) == 1
    assert found.refused[0].startswith("search.yml: host 127.0.0.9 ")
    assert sentence in found.refused[0]


@pytest.mark.parametrize(("address", "said"), [("127.0.0.1", "source"), ("256.0.0.1", "lost")])
def test_a_host_says_whether_it_reaches_this_machine(address, said):
    """What runs on it; an address without a route, here one that is none, is not told as the lack of a python."""
    code = knocking.code_for(address, False)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"python", "nas", said} == json.loads(done.stdout).keys()


def test_what_cannot_be_read_is_told_before_it_is_uploaded(tmp_path):
    """Through NNI's own node; here a path is longer than one may be, for root reads all else."""
    where = tmp_path / "search.yml"
    where.write_text("...")
    code = tmp_path / "code"
    code.mkdir()
    inside = os.open(code, os.O_RDONLY)
    for _ in range(17):
        os.mkdir("x" * 250, dir_fd=inside)
        deeper = os.open("x" * 250, os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside = deeper
    os.close(inside)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        machine = {"host": "127.0.0.1", "port": free.getsockname()[1], "user": "me", "password": "Geheim-2"}
    with pytest.raises(
        NasError, match=r"uploads .*/code to every host, and .*xxx.* cannot be read \(ENAMETOOLONG\)"
    ):
        knocking.knock(data(machine), "127.0.0.1", where, code, print)
    (code / ".nniignore").write_text("x*/\n")
    assert "cannot be reached" in knocking.knock(data(machine), "127.0.0.1", where, code, print).refused[0]


def test_what_is_too_much_to_upload_is_told_beforehand_and_so_are_passwords(tmp_path):
    """Through NNI's own node; the host is asked at the same time, and there is none."""
    said: list[str] = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        machine = {"host": "127.0.0.1", "port": free.getsockname()[1], "user": "me", "password": "Geheim-2"}
    where = tmp_path / "search.yml"
    where.write_text("...")
    (tmp_path / "many").mkdir()
    for number in range(2001):
        (tmp_path / "many" / str(number)).touch()

    def knock() -> knocking.Answers:
        return knocking.knock(data(machine), "127.0.0.1", where, tmp_path, said.append)

    with pytest.raises(NasError, match=r"takes 2,000 files, of which it has 2,002 \(most in many\)"):
        knock()
    (tmp_path / ".nniignore").write_text("many/\n")
    with pytest.raises(
        NasError, match=r"has password in it, and would be uploaded to every host \(search\.yml\)"
    ):
        knock()
    (tmp_path / ".nniignore").write_text("many/\nsearch.yml\n")
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", 200 << 20)
    assert "cannot be reached" in knock().refused[0]
    assert "note: 210 MB of" in said[0]
    os.truncate(tmp_path / "big", 400 << 20)
    with pytest.raises(
        NasError, match=r"takes 300 MB, of which it has 419; put the data on the hosts beforehand"
    ):
        knock()


SILENT = """
const ssh2 = require('ssh2')
const hostKeys = [ssh2.utils.generateKeyPairSync('ed25519').private]
const server = new ssh2.Server({ hostKeys }, client => {
  client.on('authentication', asked => asked.accept())
  client.on('ready', () => client.on('session', accept => accept().on('exec', taken => taken())))
  client.on('error', () => {})
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
setTimeout(() => process.exit(), 30000)
"""


def test_a_host_that_lets_in_and_whose_python_is_slow_is_not_told_as_unreachable(tmp_path, monkeypatch):
    monkeypatch.setattr(knocking, "SECONDS", 2)
    monkeypatch.setattr(knocking, "COUNTING", 1)
    machine = {"host": "127.0.0.1", "user": "me", "password": "Geheim-2"}
    with subprocess.Popen([NODE, "-e", SILENT], cwd=FOLDER, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        try:
            machine["port"] = int(node.stdout.readline())
            told = [
                knocking.knock(
                    data(machine, **more), "127.0.0.1", Path("search.yml"), tmp_path, print
                ).refused
                for more in ({}, {"trialGpuNumber": 1})
            ]
        finally:
            node.kill()
    said = "search.yml: host 127.0.0.1 lets me in, and its python took over {} s; try again when"
    assert [len(one) for one in told] == [1, 1]
    assert told[0][0].startswith(said.format(2))
    assert told[1][0].startswith(said.format(3))  # GPUs are counted, too


# NNI's port and node

SERVER = """
const server = require('http').createServer((_, answer) => answer.end('here'))
server.listen(0, () => setTimeout(() => console.log(server.address().port), 200))
setTimeout(() => server.close(() => process.exit()), 20000)
"""


@pytest.mark.parametrize(
    ("peers", "let_in"),
    [(["127.0.0.3"], {2, 3}), ([], {2}), (None, {2, 3, 4})],
    ids=["hosts", "nobody", "everybody"],
)
def test_hosts_and_nobody_else_reach_nnis_port_at_the_one_address_beside_loopback(peers, let_in):
    def reached(port: int, address: str, source: str) -> bool:
        try:
            with socket.create_connection((address, port), 5, (source, 0)) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"here" in b"".join(iter(lambda: sock.recv(4096), b""))
        except OSError:
            return False

    environment = at_door({**os.environ, PEERS: "127.0.0.9"}, "127.0.0.2", peers)
    with subprocess.Popen([NODE, "-e", SERVER], env=environment, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        try:
            port = int(node.stdout.readline())
            assert reached(port, "127.0.0.1", "127.0.0.1")
            assert {last for last in (2, 3, 4) if reached(port, "127.0.0.2", f"127.0.0.{last}")} == let_in
            assert not reached(port, "127.0.0.5", "127.0.0.3")
        finally:
            node.kill()


PATCHED = """
require('app-module-path').addPath(process.cwd())
require('common/globals')
const found = [
  require('common/command_channel/websocket/connection').WsConnection.prototype.heartbeat,
  require('common/command_channel/websocket/channel').WsChannel.prototype.configConnection,
  require('common/command_channel/rpc_util').RpcHelper.prototype.waitResponse,
  require('ssh2').Client.prototype.connect,
  require('training_service/remote_v3/remote').RemoteTrainingServiceV3.prototype.launchWorker,
  require('training_service/v3/compat').V3asV1.prototype.start,
  require('common/ioc_shim').IocShim.get
]
console.log(JSON.stringify(found.map(one => String(one))))
"""


def test_what_is_mended_in_nnis_node_is_there():
    """Of another NNI these would be other names, and a lost host would be noticed after a quarter of an hour."""
    for environment, mended in ((at_door(os.environ, None, []), True), (dict(os.environ), False)):
        done = subprocess.run(
            [NODE, "-e", PATCHED], cwd=FOLDER, env=environment, capture_output=True, text=True, check=True
        )
        bodies = json.loads(done.stdout)
        words = [
            "b0nasHeard",
            "b0nasName",
            "b0nasWaiting",
            "SSH to",
            "does not take part",
            "taken",
            "singletons.has(key.name)",
        ]
        assert [word in body for word, body in zip(words, bodies, strict=True)] == [mended] * len(words)


BEGIN = """
require('app-module-path').addPath(process.cwd())
const globals = require('common/globals').default
Object.assign(globals, { args: { logLevel: 'critical', experimentId: 'e' }, paths: { experimentRoot: '/nowhere' } })
"""
ASKING = """
const { RpcHelper } = require('common/command_channel/rpc_util')
const on = {}
const answer = id => setImmediate(() => on.rpc_response({ id, result: 'x' }))
const rpc = new RpcHelper({
  onCommand (type, callback) { on[type] = callback },
  onError (callback) { on.error = callback },
  onClose () {},
  send (command) { if (command.methodName !== 'silent') answer(command.id) }
})
const many = async count => {
  for (let n = 0; n < count; n++) await rpc.call(1, 'any')
  global.gc()
  return process.memoryUsage().heapUsed
}
many(2000).then(async before => {
  const bytes = (await many(20000) - before) / 20000
  const asked = [rpc.call(1, 'silent'), rpc.call(1, 'silent')]
  setImmediate(() => on.error(new Error('gone')))
  const lost = (await Promise.allSettled(asked)).map(one => one.reason.message)
  const later = await rpc.call(1, 'silent').catch(error => error.message)
  console.log(JSON.stringify({ bytes, lost, later }))
})
"""
LACKING = """
const { V3asV1 } = require('training_service/v3/compat')
const service = new V3asV1({ platform: 'local', trialCommand: '', trialCodeDirectory: '.' })
let tries = 0
let ticks = 0
const nothing = () => {}
service.v3 = {
  init: nothing, start: () => [{ id: 'e' }], uploadDirectory: nothing, onRequestParameter: nothing, onMetric: nothing,
  onTrialStart: nothing, onTrialEnd: nothing, onEnvironmentUpdate: nothing,
  async createTrial () {
    tries += 1
    if (tries === 1) throw new Error('gone')
    return ticks || tries > 5000 ? 'job' : null
  }
}
setInterval(() => { ticks += 1 }, 1500)
const form = { sequenceId: 0, hyperParameters: { value: '{}', index: 0 } }
service.start().then(() => service.submitTrialJob(form)).then(job => {
  console.log(JSON.stringify([job.id, tries, ticks]))
  process.exit(0)
})
"""


def told_by_node(code: str, environment: dict[str, str], *words: str) -> Any:
    done = subprocess.run(
        [NODE, *words, "-e", BEGIN + code], cwd=FOLDER, env=environment, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_question_to_a_host_leaves_nothing_behind_and_fails_where_the_host_is_lost():
    told = told_by_node(ASKING, at_door(os.environ, None, []), "--expose-gc")
    assert told.pop("bytes") < 100
    assert told == {"lost": ["gone", "gone"], "later": "gone"}


def test_a_trial_that_cannot_begin_is_tried_again_a_second_later():
    """By NNI itself at once, so that nothing else is done: 5,000 times here, and for ever there."""
    job, tries, ticks = told_by_node(LACKING, at_door(os.environ, None, []))
    assert (job, ticks) == ("job", 1)
    assert 3 <= tries <= 4
    assert told_by_node(LACKING, dict(os.environ)) == ["job", 5001, 0]


# Who is let in

KINDS = [
    ([{"platform": "remote"}], True),
    ([{"platform": "local"}, {"platform": "remote"}], True),
    ([{"platform": "remote"}, {"platform": "frameworkcontroller"}], False),
]


@pytest.mark.parametrize(("kinds", "alone"), KINDS)
def test_the_hosts_alone_are_let_in_unless_there_are_pods(monkeypatch, tmp_path, kinds, alone):
    hosts = {"machineList": [{"host": "127.0.0.9", "user": "me", "password": "x"}]}
    services = [one | (hosts if one["platform"] == "remote" else {}) for one in kinds]
    content = {"trialCommand": "", "nniManagerIp": "127.0.0.1", "trainingService": services}
    config = SearchConfig(tmp_path / "search.yml", content, None, None, None)  # type: ignore[arg-type]
    monkeypatch.setattr(door, "knock", lambda *_: knocking.Answers(["127.0.0.9"], []))
    monkeypatch.setenv("KUBECONFIG", __file__)  # that of a cluster is there
    found = door.Door(config, print)
    assert found.knock() == []
    assert found.environment.get(PEERS) == ("127.0.0.9" if alone else None)


def test_before_hosts_are_asked_and_where_there_are_none_nobody_is_let_in(tmp_path):
    """A list of this machine alone is a hybrid service without a host."""
    content = {"trialCommand": "", "nniManagerIp": "127.0.0.1", "trainingService": [{"platform": "local"}]}
    config = SearchConfig(tmp_path / "search.yml", content, None, None, None)  # type: ignore[arg-type]
    found = door.Door(config, print)
    assert ADDRESS not in found.environment
    assert found.knock() == []
    assert (found.environment[ADDRESS], found.environment[PEERS]) == ("127.0.0.1", "")


# A trial on a host


def test_a_trial_on_a_host_has_the_space_from_its_proposal(tmp_path, monkeypatch, document):
    monkeypatch.chdir(tmp_path)
    subject = SpaceSubject(nas.SearchSpace.from_data(document))
    run = {**subject.form(), "trial": subject.trial_form()}
    assert documents_for_others(run, {"trainingService": {"platform": "local"}}) == {}
    assert documents_for_others(run, {}) == {}
    brought = documents_for_others(run, data())
    settings = {"reward": {"form": "soft"}, "limits": {}, "seed": 0}
    parameters = json.loads(json.dumps({"run": {**run["trial"], **settings, **brought}}))
    task = task_of(options_of("python -m nas.search.trial --data digits"), parameters)
    assert load_space(task, None).sha256 == subject.sha256
    parameters["run"]["document"]["resolution"] = 64
    with pytest.raises(NasError, match="is not the run's"):
        load_space(task_of(options_of("python -m nas.search.trial --data digits"), parameters), None)


@pytest.mark.parametrize(
    "environment", [{"NNI_PLATFORM": "remote"}, {"NNI_PLATFORM": "local", "REUSE_MODE": "true"}]
)
def test_a_copy_of_the_journal_on_a_host_is_not_written(tmp_path, monkeypatch, environment):
    (tmp_path / "journal.jsonl").write_text("")
    assert Reporter(None, tmp_path).journal is not None
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    reporter = Reporter(None, tmp_path)
    assert (reporter.journal, reporter.run_dir) == (None, None)
