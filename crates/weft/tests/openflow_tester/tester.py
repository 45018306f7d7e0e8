"""os-ken's switch tester: `tester.py PORT VERSION [PATH …]`, a controller on 127.0.0.1.

Its suite of that version, or files and folders of it: `tester.py 6653 1.3 group action/00_OUTPUT.json`. The target is datapath 1,
the tester datapath 2; ports 1, 2 and 3 of the one are joined with those of the other.
"""

import os
import sys
import tempfile

from os_ken.lib import hub

hub.patch()

import os_ken.flags  # with `log`, the options that the tester reads
import os_ken.tests.switch
from os_ken import cfg, log
from os_ken.base import app_manager

if __name__ == "__main__":
    port, version, *paths = sys.argv[1:]
    number = version.replace(".", "")
    suite = os.path.join(os.path.dirname(os_ken.tests.switch.__file__), "of" + number)
    with tempfile.TemporaryDirectory() as chosen:
        for path in paths or os.listdir(suite):
            os.symlink(os.path.join(suite, path), os.path.join(chosen, path.replace("/", "_")))
        listen = ["--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port", port]
        versions = ["--test-switch-target-version", "openflow" + number, "--test-switch-tester-version", "openflow" + number]
        cfg.CONF(args=listen + versions + ["--test-switch-dir", chosen], project="os_ken")
        log.init_log()
        app_manager.AppManager.run_apps(["os_ken.tests.switch.tester", "os_ken.controller.ofp_handler"])
