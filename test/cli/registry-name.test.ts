import { describe, expect, test } from 'vitest';

import { parseRegistryName, parseRepositoryName } from '../../src/cli/commands/tags.js';
import { LandfallError } from '../../src/errors.js';
import { formatReference, type Reference } from '../../src/spec/index.js';

function reported(parse: (text: string) => Reference, text: string): string {
  try {
    return formatReference(parse(text));
  } catch (error) {
    if (error instanceof LandfallError) return (error as LandfallError).code;
    throw error;
  }
}

const DIGEST = `sha256:${'a'.repeat(64)}`;

const names: [text: string, image: string, repository: string][] = [
  ['debian', 'docker.io/library/debian:latest', 'docker.io/library/debian'],
  ['docker://debian', 'docker.io/library/debian:latest', 'docker.io/library/debian'],
  ['docker://quay.io/x/y:1', 'quay.io/x/y:1', 'INVALID_CONFIG'],
  ['quay.io/x/y:latest', 'quay.io/x/y:latest', 'INVALID_CONFIG'],
  [`quay.io/x/y@${DIGEST}`, `quay.io/x/y@${DIGEST}`, 'INVALID_CONFIG'],
  ['docker:5000/x', 'docker:5000/x:latest', 'docker:5000/x'],
  ['docker://oci:1', 'docker.io/library/oci:1', 'INVALID_CONFIG'],
  ['docker://docker://x', 'INVALID_REFERENCE', 'INVALID_REFERENCE'],
  ['docker://', 'INVALID_REFERENCE', 'INVALID_REFERENCE'],
  ['oci:mirror:1', 'INVALID_CONFIG', 'INVALID_CONFIG'],
  ['docker-archive:x.tar', 'INVALID_CONFIG', 'INVALID_CONFIG'],
  ['UPPER', 'INVALID_REFERENCE', 'INVALID_REFERENCE'],
];

describe('a name at a registry', () => {
  test.each(names)('%s is the image %s', (text, image) => {
    expect(reported(parseRegistryName, text)).toBe(image);
  });

  test.each(names)('%s: the repository is %3$s', (text, _image, repository) => {
    expect(reported(parseRepositoryName, text)).toBe(repository);
  });
});
