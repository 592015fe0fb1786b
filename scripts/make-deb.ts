import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { layOutCommand } from './command-tree.js';
import { runProgram } from './release/run-program.js';

/*
 * A package for Debian, of what is built: `npm run deb [-- DIRECTORY]` writes landfall_VERSION_ARCHITECTURE.deb there. It has
 * the command, the service of systemd, the manual and what shells complete. The service is enabled and started as those of Debian are; the
 * store in /var/lib/landfall stays when the package goes, `apt-get purge` included, since images are no configuration.
 */

const REPOSITORY = join(import.meta.dirname, '..', '..');
const UNIT = 'landfall.service';

/** What debhelper's dh_installsystemd writes for a service, shortened; they do nothing where systemd does not run. */
const SCRIPTS: Readonly<Record<string, string>> = {
  postinst: `if [ "$1" = configure ]; then
  deb-systemd-helper unmask ${UNIT} >/dev/null || true
  if deb-systemd-helper --quiet was-enabled ${UNIT}; then deb-systemd-helper enable ${UNIT} >/dev/null || true; fi
  deb-systemd-helper update-state ${UNIT} >/dev/null || true
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    if [ -n "$2" ]; then action=restart; else action=start; fi
    deb-systemd-invoke $action ${UNIT} >/dev/null || true
  fi
fi`,
  prerm: `if [ -d /run/systemd/system ] && [ "$1" = remove ]; then deb-systemd-invoke stop ${UNIT} >/dev/null || true; fi`,
  postrm: `if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
if [ "$1" = purge ] && command -v deb-systemd-helper >/dev/null; then
  deb-systemd-helper purge ${UNIT} >/dev/null || true
  deb-systemd-helper unmask ${UNIT} >/dev/null || true
fi`,
};

interface Manifest {
  readonly version: string;
  readonly description: string;
}

const [into = '.'] = process.argv.slice(2);
const cwd = REPOSITORY;
const { version, description } = JSON.parse(
  await readFile(join(REPOSITORY, 'package.json'), 'utf8'),
) as Manifest;
const architecture = (await runProgram('dpkg', ['--print-architecture'], { cwd })).trim();
const libc = (
  await runProgram('dpkg-query', ['-W', '-f=${source:Upstream-Version}', 'libc6'], { cwd })
).trim();
const tree = await mkdtemp(join(tmpdir(), 'landfall-deb-'));
try {
  await chmod(tree, 0o755);
  await layOutCommand(REPOSITORY, join(tree, 'usr'));
  const units = join(tree, 'usr', 'lib', 'systemd', 'system');
  await mkdir(units, { recursive: true });
  // Not enabled: the timer of gc, which nodes whose kubelet collects images do not need.
  for (const name of [UNIT, 'landfall-gc.service', 'landfall-gc.timer'])
    await cp(join(REPOSITORY, 'deploy', 'systemd', name), join(units, name));
  await mkdir(join(tree, 'etc', 'landfall'), { recursive: true });
  await mkdir(join(tree, 'DEBIAN'));
  await writeFile(
    join(tree, 'DEBIAN', 'control'),
    `Package: landfall
Version: ${version}
Architecture: ${architecture}
Maintainer: landfall <landfall@localhost>
Section: admin
Priority: optional
Depends: nodejs (>= 20.19), libc6 (>= ${libc}), libstdc++6, ca-certificates, init-system-helpers (>= 1.52)
Recommends: libisal2
Description: ${description.replace(/\.$/, '')}
`,
  );
  for (const [name, text] of Object.entries(SCRIPTS)) {
    const path = join(tree, 'DEBIAN', name);
    await writeFile(path, `#!/bin/sh\nset -e\n${text}\n`, { mode: 0o755 });
  }
  const file = join(resolve(into), `landfall_${version}_${architecture}.deb`);
  await runProgram('dpkg-deb', ['--root-owner-group', '--build', tree, file], { cwd });
  console.log(file);
} finally {
  await rm(tree, { recursive: true, force: true });
}
