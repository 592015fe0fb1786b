import { openStore, pull, TrustError } from 'landfall';
import { PolicyFile } from 'landfall/trust';

const [reference = 'registry.example/team/app:1', path = '/etc/containers/policy.json'] =
  process.argv.slice(2);

await using store = await openStore();
try {
  const image = await pull({ store, reference, policy: new PolicyFile(path) });
  for (const { signedBy, scope } of image.signatures ?? []) console.log(`${scope}: signed by ${signedBy}`);
} catch (error) {
  if (!(error instanceof TrustError)) throw error;
  console.log(error.code, error.message);
}
