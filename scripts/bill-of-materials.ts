import {
  dependenciesOf,
  type LockedPackage,
  type PackageLock,
  rootOf,
  shippedPackages,
} from './package-lock.js';

/**
 * A bill of materials in CycloneDX 1.5: what the package consists of and what is installed with it, with the
 * versions that it was built and tested with. `npm sbom --omit dev` leaves out what is bundled, and tells the
 * time and the registry; this one is the same for the same lock.
 *
 * @param bundled paths in the lock of the packages of which a copy lies in the package; the package itself is
 *   named as their user where none of the others is
 */
export function billOfMaterials(lock: PackageLock, bundled: ReadonlySet<string>): string {
  const root = rootOf(lock);
  const packages = shippedPackages(lock, bundled);
  // One version may lie in several places.
  const components = new Map<string, Component>();
  for (const each of packages) {
    const isCopy = bundled.has(each.path) || components.get(purlOf(each))?.properties !== undefined;
    components.set(purlOf(each), componentOf(each, isCopy));
  }
  const dependencies = new Map<string, Set<string>>();
  const used = new Set<string>();
  for (const each of [...packages, root]) {
    const known = dependencies.get(purlOf(each)) ?? new Set();
    for (const needed of dependenciesOf(lock, each)) {
      if (!components.has(purlOf(needed)) || purlOf(needed) === purlOf(each)) continue;
      known.add(purlOf(needed));
      used.add(purlOf(needed));
    }
    dependencies.set(purlOf(each), known);
  }
  const needed = dependencies.get(purlOf(root));
  for (const ref of components.keys()) if (!used.has(ref)) needed?.add(ref);
  const bill = {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      lifecycles: [{ phase: 'build' }],
      component: { ...componentOf(root, false), type: 'application' },
    },
    components: [...components.values()].sort((a, b) => byText(a['bom-ref'], b['bom-ref'])),
    dependencies: [...dependencies]
      .map(([ref, dependsOn]) => ({ ref, dependsOn: [...dependsOn].sort(byText) }))
      .sort((a, b) => byText(a.ref, b.ref)),
  };
  return `${JSON.stringify(bill, null, 2)}\n`;
}

interface Component {
  readonly type: 'library' | 'application';
  readonly 'bom-ref': string;
  readonly group?: string;
  readonly name: string;
  readonly version: string;
  readonly scope?: 'required' | 'optional';
  readonly hashes?: readonly { readonly alg: 'SHA-512'; readonly content: string }[];
  readonly licenses?: readonly (
    { readonly license: { readonly id: string } } | { readonly expression: string }
  )[];
  readonly purl: string;
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

function componentOf(of: LockedPackage, bundled: boolean): Component {
  const [, group, name = of.name] = /^(@[^/]+)\/(.*)$/.exec(of.name) ?? [];
  return {
    type: 'library',
    'bom-ref': purlOf(of),
    ...(group === undefined ? {} : { group }),
    name,
    version: of.version,
    ...(of.path === '' ? {} : { scope: of.optional ? 'optional' : 'required' }),
    ...hashesOf(of),
    ...(of.licence === undefined ? {} : { licenses: [licenceOf(of.licence)] }),
    purl: purlOf(of),
    ...(bundled ? { properties: [{ name: 'landfall:bundled', value: 'true' }] } : {}),
  };
}

/** purl-spec: npm; the scope's at sign is percent-encoded. */
export function purlOf({ name, version }: LockedPackage): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

function hashesOf({ integrity }: LockedPackage): Pick<Component, 'hashes'> {
  if (integrity?.startsWith('sha512-') !== true) return {};
  const content = Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex');
  return { hashes: [{ alg: 'SHA-512', content }] };
}

function licenceOf(text: string): NonNullable<Component['licenses']>[number] {
  return /\s/.test(text) ? { expression: text } : { license: { id: text } };
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
