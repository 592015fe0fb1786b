import { peer, PEERS } from './peers.js';

/** Says at the start of a test run which peers are missing, one line each, so that a skipped test surprises nobody. */
export default function setup(): void {
  const missing = Object.entries(PEERS).filter(([name]) => peer(name) === undefined);
  for (const [name, debianPackage] of missing) {
    process.stderr.write(
      `missing peer: ${name}. The tests against it are skipped; it comes with apt-get install ${debianPackage}\n`,
    );
  }
  if (missing.length > 0 && process.env['LANDFALL_REQUIRE_PEERS'] === '1') {
    throw new Error('LANDFALL_REQUIRE_PEERS=1, but peers are missing');
  }
}
