import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { billOfMaterials, purlOf } from '../../scripts/bill-of-materials.js';
import { parsePackageLock } from '../../scripts/package-lock.js';

interface Bill {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly version: number;
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}
interface Component {
  readonly type: string;
  readonly 'bom-ref': string;
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly scope?: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly (
    { readonly license: { readonly id: string } } | { readonly expression: string }
  )[];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

const ROOT = resolve(import.meta.dirname, '../..');
const LOCK_TEXT = readFileSync(join(ROOT, 'package-lock.json'), 'utf8');

describe('the bill of materials', () => {
  const text = readFileSync(join(ROOT, 'dist', 'sbom.cdx.json'), 'utf8');
  const bill = JSON.parse(text) as Bill;
  const lock = parsePackageLock(LOCK_TEXT);
  const bundled = ['bin', 'native']
    .flatMap((part) => readFileSync(join(ROOT, 'dist', part, 'LICENSES.txt'), 'utf8').split(/^-{80}\n\n/m))
    .map((part) => part.slice(0, part.indexOf('\n')))
    .filter((name) => name !== 'zstd (part of zstd-napi)');
  const nameOf = ({ group, name }: Component): string => (group === undefined ? name : `${group}/${name}`);

  it('is CycloneDX 1.5, of this version', () => {
    const { name, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Component;
    expect(bill).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.5', version: 1 });
    expect(bill.metadata.component).toMatchObject({
      type: 'application',
      name,
      version,
      purl: `pkg:npm/${name}@${version}`,
      licenses: [{ license: { id: 'Apache-2.0' } }],
    });
  });

  it('has what npm installs and what is bundled, and nothing else', () => {
    // npm's own word for it, which tells apart what is here by name and version only.
    const { packages } = JSON.parse(LOCK_TEXT) as {
      packages: Readonly<Record<string, { readonly version: string; readonly dev?: boolean }>>;
    };
    const installed = Object.entries(packages)
      .filter(([path, { dev }]) => path !== '' && dev !== true)
      .map(([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`);
    const listed = bill.components.map((each) => `${nameOf(each)}@${each.version}`);
    expect(listed).toEqual(expect.arrayContaining(installed));
    const others = bill.components.filter((each) => !installed.includes(`${nameOf(each)}@${each.version}`));
    expect(others.filter((each) => !bundled.includes(nameOf(each)))).toEqual([]);
    expect(others.map(nameOf)).toEqual(expect.arrayContaining(['@grpc/grpc-js', 'commander', 'sqlite3']));
  });

  it('gives each a digest, a licence and a name by which others find it', () => {
    for (const component of bill.components) {
      expect(component, component.purl).toMatchObject({
        type: 'library',
        scope: expect.stringMatching(/^(required|optional)$/) as string,
        'bom-ref': component.purl,
        hashes: [{ alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) as string }],
      });
      expect(component.licenses, component.purl).toHaveLength(1);
      expect(component.purl).toBe(`pkg:npm/${nameOf(component).replace('@', '%40')}@${component.version}`);
    }
  });

  it('marks what lies in the command as a copy', () => {
    const marked = bill.components.filter(({ properties }) => properties?.[0]?.name === 'landfall:bundled');
    const names = new Set(marked.map(nameOf));
    expect([...names].sort()).toEqual([...new Set(bundled)].sort());
    expect(names).toContain('undici');
  });

  it('says who needs whom, down to the end', () => {
    const refs = new Set([bill.metadata.component, ...bill.components].map((each) => each['bom-ref']));
    expect(new Set(bill.dependencies.map(({ ref }) => ref))).toEqual(refs);
    for (const { dependsOn } of bill.dependencies) for (const ref of dependsOn) expect(refs).toContain(ref);
    const reached = new Set<string>();
    const todo = [bill.metadata.component['bom-ref']];
    for (let ref = todo.pop(); ref !== undefined; ref = todo.pop()) {
      if (reached.has(ref)) continue;
      reached.add(ref);
      todo.push(...(bill.dependencies.find((each) => each.ref === ref)?.dependsOn ?? []));
    }
    expect(reached).toEqual(refs);
  });

  it('tells no time and no place, and is the same for the same lock', () => {
    expect(text).not.toMatch(/timestamp|serialNumber|resolved|registry\.|\/root\/|file:/);
    expect(text.match(/https?:\/\/[^"]*/g)).toEqual(['http://cyclonedx.org/schema/bom-1.5.schema.json']);
    const copies = new Set(
      bill.components.filter(({ properties }) => properties !== undefined).map(({ purl }) => purl),
    );
    const paths = [...lock.values()].filter((each) => copies.has(purlOf(each))).map(({ path }) => path);
    expect(billOfMaterials(lock, new Set(paths))).toBe(text);
  });

  it('leaves out what is unknown, and writes a choice of licences as an expression', () => {
    const lock = parsePackageLock(
      JSON.stringify({
        packages: {
          '': { name: 'ship', version: '1.0.0', dependencies: { a: '*' } },
          'node_modules/a': { version: '1.0.0', license: '(MIT OR Apache-2.0)', integrity: 'sha1-abc=' },
        },
      }),
    );
    const [component] = (JSON.parse(billOfMaterials(lock, new Set())) as Bill).components;
    expect(component?.licenses).toEqual([{ expression: '(MIT OR Apache-2.0)' }]);
    expect(component).not.toHaveProperty('hashes');
  });
});
