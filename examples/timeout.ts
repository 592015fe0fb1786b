import { isLandfallError, openStore, pull } from 'landfall';

const [reference = 'alpine:3', milliseconds = '60000'] = process.argv.slice(2);

await using store = await openStore();
try {
  const image = await pull({ store, reference, signal: AbortSignal.timeout(Number(milliseconds)) });
  console.log(`pulled ${image.reference}`);
} catch (error) {
  if (!isLandfallError(error)) throw error;
  console.log(error.code, error.message);
  // An aborted pull keeps its partial downloads: the next one resumes them.
  console.log(error.retryable ? 'to be tried again' : error.hint);
}
