import { type BlobProvider, readManifestBlob } from '../../content/index.js';
import {
  type Descriptor,
  type Digest,
  formatSize,
  type ImageConfig,
  type ImageManifest,
  LIMITS,
  shortDigest,
} from '../../spec/index.js';
import { type CatalogueImage, type CatalogueReferrer, compare, type ReferrerKind } from './catalogue.js';
import {
  code,
  countOf,
  formatAge,
  head,
  html,
  type Html,
  imagePath,
  pairs,
  repositoryPath,
  section,
  table,
} from './html.js';
import { crumbs, referrerBadges } from './list-page.js';
import { commandList, type ServerAddress } from './pull-commands.js';
import { readConfig, runsOn } from './store-catalogue.js';

export interface ImagePageOptions {
  readonly image: CatalogueImage;
  readonly details: readonly ManifestDetails[];
  /** The platform to show, where the address names one. */
  readonly platform: string | null;
  readonly address: ServerAddress;
  readonly now: Date;
}

/** One image: how to pull it, and what it is made of. */
export function imagePage(options: ImagePageOptions): Html {
  const { image, details, platform, address } = options;
  const shown = details.find((one) => one.platform === platform) ?? details[0];
  const above = [
    { label: 'All images', path: '/' },
    { label: image.repository, path: repositoryPath(image.repository) },
  ];
  const hasReferrers = image.referrers.length > 0;
  return html`${crumbs(above, image.reference.tag ?? shortDigest(image.target.digest))}
    <h1>${image.familiar}</h1>
    ${hasReferrers ? html`<div class="lead">${referrerBadges(image.referrers)}</div>` : undefined}
    ${section('get', 'Get it', commandList(image.reference, address))} ${summary(options)}
    ${details.length > 1 ? platforms(image, details, shown) : undefined}
    ${
      shown === undefined
        ? html`<div class="card">
            <div class="empty"><p>Its manifest is not here, or cannot be read.</p></div>
          </div>`
        : manifestSections(shown)
    }
    ${hasReferrers ? referrers(image.referrers) : undefined}`;
}

function summary({ image, details, now }: ImagePageOptions): Html {
  const { target, since, size } = image;
  const rows = pairs([
    ['Digest', code(target.digest), 'digest'],
    ['Type', code(target.mediaType)],
    ['Size', `${formatSize(size)} in ${countOf(details.length, 'manifest')} that are here`],
    ['In the mirror', since && html`<time datetime="${since.toISOString()}">${formatAge(since, now)}</time>`],
  ]);
  return section('about', 'About', rows);
}

function platforms(
  image: CatalogueImage,
  details: readonly ManifestDetails[],
  shown: ManifestDetails | undefined,
): Html {
  const badges = details.map((one) => {
    const { platform } = one;
    if (platform === undefined) return html`<li class="badge">other content</li>`;
    const address = `${imagePath(image.name)}?${new URLSearchParams({ platform }).toString()}`;
    return one === shown
      ? html`<li><a class="badge" aria-current="true" href="${address}">${platform}</a></li>`
      : html`<li><a class="badge" href="${address}">${platform}</a></li>`;
  });
  return section(
    'platforms',
    'Platforms',
    html`<ul class="badges">
      ${badges}
    </ul>`,
  );
}

function manifestSections({ digest, platform, manifest, config }: ManifestDetails): Html {
  const count = countOf(manifest.layers.length, 'layer');
  const rows = manifest.layers.map(
    (layer, at) =>
      html`<tr>
        <td class="number quiet" data-label="Layer">${at + 1}</td>
        <th scope="row" class="digest">${code(layer.digest)}</th>
        <td class="number" data-label="Size">${formatSize(layer.size)}</td>
        <td data-label="Media type">${code(layer.mediaType)}</td>
      </tr> `,
  );
  const heads = [head('#', 'number'), head('Digest'), head('Size', 'number'), head('Media type')];
  const documents = pairs([
    ['Manifest', code(digest), 'digest'],
    ['Config', html`${code(manifest.config.digest)} (${formatSize(manifest.config.size)})`, 'digest'],
  ]);
  return html`${section(
    'layers',
    platform === undefined ? count : `${count} for ${platform}`,
    table('Layers, the lowest first', heads, rows),
  )}
  ${config && configSection(config)} ${labelSection('annotations', 'Annotations', manifest.annotations)}
  ${labelSection('labels', 'Labels', config?.config?.Labels)} ${config?.history && history(config.history)}
  ${section('documents', 'Documents', documents)}`;
}

function configSection(config: ImageConfig): Html | undefined {
  const { Entrypoint, Cmd, User, WorkingDir, ExposedPorts, Volumes, Env, StopSignal } = config.config ?? {};
  const rows: readonly (readonly [label: string, value: Html | string | undefined])[] = [
    ['Created', createdOf(config.created)],
    ['Author', config.author],
    ['Entrypoint', argumentsOf(Entrypoint)],
    ['Command', argumentsOf(Cmd)],
    ['User', User],
    ['Directory', WorkingDir],
    ['Ports', listOf(ExposedPorts)],
    ['Volumes', listOf(Volumes)],
    ['Stop signal', StopSignal],
    ['Environment', Env && lines(Env)],
  ];
  const known = rows.filter(([, value]) => value !== undefined && value !== '');
  return known.length === 0 ? undefined : section('config', 'How it runs', pairs(known));
}

/** Only what is a time is marked as one: the text is whatever the builder wrote. */
function createdOf(text: string | undefined): Html | string | undefined {
  if (text === undefined || text === '') return undefined;
  const time = /^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})$/.test(text) ? new Date(text) : undefined;
  if (time === undefined || Number.isNaN(time.getTime())) return text;
  return html`<time datetime="${time.toISOString()}">${time.toISOString().replace(/\.\d+Z$/, 'Z')}</time>`;
}

function argumentsOf(words: readonly string[] | undefined): Html | undefined {
  return words === undefined || words.length === 0 ? undefined : code(JSON.stringify(words));
}

function listOf(items: Readonly<Record<string, unknown>> = {}): string {
  return Object.keys(items).join(', ');
}

function lines(items: readonly string[]): Html | undefined {
  if (items.length === 0) return undefined;
  return html`${items.map((item, at) => html`${at === 0 ? undefined : html`<br />`}${code(item)}`)}`;
}

function labelSection(
  id: string,
  title: string,
  labels: Readonly<Record<string, string>> = {},
): Html | undefined {
  const rows = Object.entries(labels).map(([key, value]) => [code(key), value] as const);
  return rows.length === 0 ? undefined : section(id, title, pairs(rows));
}

function history(entries: NonNullable<ImageConfig['history']>): Html {
  const items = entries.map(
    ({ created_by: by, comment, empty_layer: empty }) =>
      html`<li>
        ${code(by ?? comment ?? '–')}${empty === true ? html` <small>no layer</small>` : undefined}
      </li>`,
  );
  return section(
    'history',
    'History',
    html`<div class="card">
      <ol class="history">
        ${items}
      </ol>
    </div>`,
  );
}

function referrers(all: readonly CatalogueReferrer[]): Html {
  const rows = [...all]
    .sort((a, b) => compare(a.kind, b.kind) || compare(a.digest, b.digest))
    .map(
      ({ kind, type, digest, verified }) =>
        html`<tr>
          <td data-label="Kind">
            <span class="badge${verified ? ' good' : ''}">${kindOf(kind, verified)}</span>
          </td>
          <td data-label="Type">${code(type)}</td>
          <th scope="row" class="digest">${code(digest)}</th>
        </tr> `,
    );
  const heads = [head('Kind'), head('Type'), head('Digest')];
  const title = 'Signatures, SBOMs and what else comes with it';
  return section('referrers', title, table('What refers to this image', heads, rows));
}

function kindOf(kind: ReferrerKind, verified: boolean): string {
  if (kind !== 'signature') return kind;
  return verified ? 'verified signature' : 'signature, not verified';
}

/** One manifest below an image's name, as far as it is here. */
interface ManifestDetails {
  readonly digest: Digest;
  /** As text; undefined for what is no image that could run. */
  readonly platform: string | undefined;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig | undefined;
}

/** So many manifests are read for a page. */
const MOST_MANIFESTS = 64;

/**
 * Reads the manifests below a target that are here, in the order of the index, and their configs; no layers.
 */
export async function readDetails(
  blobs: BlobProvider,
  target: Descriptor,
): Promise<readonly ManifestDetails[]> {
  const found: ManifestDetails[] = [];
  const collect = async ({ digest, mediaType }: Descriptor, depth: number): Promise<void> => {
    if (depth > LIMITS.indexDepth || found.length >= MOST_MANIFESTS) return;
    const document = (await readManifestBlob(blobs, digest, mediaType))?.manifest;
    if (document?.kind === 'index') {
      for (const child of document.manifests) await collect(child, depth + 1);
    } else if (document !== undefined) {
      const config = await readConfig(blobs, document.config);
      found.push({ digest, platform: runsOn(config), manifest: document, config });
    }
  };
  await collect(target, 0);
  return found;
}
