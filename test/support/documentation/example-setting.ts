import type { PageRun } from './page-run.js';

/**
 * What the examples of the command's reference speak of as if it were there: images in the store, archives,
 * layouts and files in the directory, and what a registry of the site has.
 */
const SETTING = String.raw`
landfall pull -q --all-platforms debian:trixie alpine alpine:3 quay.io/team/app:1 registry.k8s.io/pause:3.10
landfall tag debian:trixie registry.lan:5000/team/app:1
for image in app:latest app:1 untrusted/app:latest team/app:1 team/app:1.2.3 hub/app:1; do
  skopeo copy -q --all docker://quay.io/team/app:1 docker://registry.lan:5000/$image
done
skopeo copy -q --all docker://quay.io/team/app:1 oci:mirror:app
skopeo copy -q docker://quay.io/team/app:1 docker-archive:app.tar:quay.io/team/app:1
skopeo copy -q --all docker://quay.io/team/app:1 oci-archive:/media/plain.tar:plain
landfall save -q alpine debian:trixie -o images.tar
echo secret > password-file
echo '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json
printf 'quay.io:\n  images:\n    team/app: ["1.0"]\n' > skopeo.yaml
printf 'sources: [{ registry: quay.io, images: ["team/app:1.1"] }]\ndestinations: ["docker://registry.lan:5000/mirrored"]\n' > mirror.yaml
landfall sync -f mirror.yaml --to oci-archive:full.tar --report report.json
rm full.tar
printf '#!/bin/sh\nshift\nexec "$@"\n' > /usr/local/bin/ssh
chmod +x /usr/local/bin/ssh
mkdir -p /etc/containerd /srv/landfall /srv/writable
containerd config default > /etc/containerd/config.toml
tar -cf /media/setting.tar --xattrs --xattrs-include='*' --numeric-owner -C / root var/lib/landfall srv usr/local/bin/ssh etc/containerd
`;

/** Makes that setting, once. */
export async function prepareExamples(run: PageRun): Promise<void> {
  await typed(run, SETTING);
}

/** Lays it out on a fresh machine. */
export async function beginExamples(run: PageRun): Promise<void> {
  await run.leaveMachines();
  await typed(run, 'tar -xpf /media/setting.tar --xattrs --xattrs-include="*" --numeric-owner -C /');
}

async function typed(run: PageRun, commands: string): Promise<void> {
  const { code, stderr } = await (await run.machine('here')).type(commands);
  if (code !== 0) throw new Error(`the examples' setting was not made:\n${stderr}`);
}
