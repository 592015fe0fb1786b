import { isRoot, isUnprivilegedPass, NEEDS_ROOT } from './needs-root.js';
import { peer, PEERS } from './peers.js';

/**
 * Says at the start of a test run what this machine lacks, one line each, so that a skipped test surprises
 * nobody.
 */
export default function setup(): void {
  const missing = Object.entries(PEERS).filter(([name]) => peer(name) === undefined);
  for (const [name, debianPackage] of missing) {
    process.stderr.write(
      `missing peer: ${name}. The tests against it are skipped; it comes with apt-get install ${debianPackage}\n`,
    );
  }
  if (isUnprivilegedPass && isRoot) throw new Error('LANDFALL_UNPRIVILEGED=1, but this is root');
  if (!isRoot) {
    process.stderr.write(`not root: these tests are left out: ${NEEDS_ROOT.join(', ')}\n`);
  }
  if (
    (missing.length > 0 || (!isRoot && !isUnprivilegedPass)) &&
    process.env['LANDFALL_REQUIRE_PEERS'] === '1'
  ) {
    throw new Error('LANDFALL_REQUIRE_PEERS=1, but peers are missing, or this is not root');
  }
}
