import { type BlobProvider, readDocument } from '../../content/index.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageConfig,
  type ImageManifest,
  LIMITS,
  platformOf,
  shortDigest,
} from '../../spec/index.js';
import { type CatalogueImage, type CatalogueReferrer, compare } from './catalogue.js';
import { countOf, formatAge, formatBytes, html, type Html, imagePath, repositoryPath } from './html.js';
import { crumbs, referrerBadges } from './list-page.js';
import { commandList, type ServerAddress } from './pull-commands.js';
import { readConfig } from './store-catalogue.js';

export interface ImagePageOptions {
  readonly image: CatalogueImage;
  readonly details: readonly ManifestDetails[];
  /** The platform to show, as the address says. */
  readonly platform: string | undefined;
  readonly address: ServerAddress;
  readonly now: Date;
}

/** One image: how to pull it, and what it is made of. */
export function imagePage(options: ImagePageOptions): Html {
  const { image, details, platform, address } = options;
  const shown = details.find((one) => one.platform === platform) ?? details[0];
  return html`${crumbs(
      [
        { label: 'All images', path: '/' },
        { label: image.repository, path: repositoryPath(image.repository) },
      ],
      image.reference.tag ?? shortDigest(image.target.digest),
    )}
    <h1>${image.familiar}</h1>
    ${image.referrers.length === 0 ? undefined : html`<div class="lead">${referrerBadges(image.referrers)}</div>`}
    <section aria-labelledby="get">
      <h2 id="get">Get it</h2>
      ${commandList(image.reference, address)}
    </section>
    ${summary(options)} ${details.length > 1 ? platforms(image, details, shown) : undefined}
    ${
      shown === undefined
        ? html`<div class="card">
            <div class="empty"><p>Its manifest is not here, or cannot be read.</p></div>
          </div>`
        : manifestSections(shown)
    }
    ${image.referrers.length === 0 ? undefined : referrers(image.referrers)}`;
}

function summary({ image, details, now }: ImagePageOptions): Html {
  const { target, since, size } = image;
  return html`<section aria-labelledby="about">
    <h2 id="about">About</h2>
    <div class="card">
      <dl class="pairs">
        <dt>Digest</dt>
        <dd class="digest"><code>${target.digest}</code></dd>
        <dt>Type</dt>
        <dd><code>${target.mediaType}</code></dd>
        <dt>Size</dt>
        <dd>${formatBytes(size)} in ${countOf(details.length, 'manifest')} that are here</dd>
        ${
          since === undefined
            ? undefined
            : html`<dt>In the mirror</dt>
                <dd><time datetime="${since.toISOString()}">${formatAge(since, now)}</time></dd>`
        }
      </dl>
    </div>
  </section>`;
}

function platforms(
  image: CatalogueImage,
  details: readonly ManifestDetails[],
  shown: ManifestDetails | undefined,
): Html {
  return html`<section aria-labelledby="platforms">
    <h2 id="platforms">Platforms</h2>
    <ul class="badges">
      ${details.map((one) => {
        const { platform } = one;
        if (platform === undefined) return html`<li class="badge">other content</li>`;
        const address = `${imagePath(image.name)}?${new URLSearchParams({ platform }).toString()}`;
        return one === shown
          ? html`<li><a class="badge" aria-current="true" href="${address}">${platform}</a></li>`
          : html`<li><a class="badge" href="${address}">${platform}</a></li>`;
      })}
    </ul>
  </section>`;
}

function manifestSections({ digest, platform, manifest, config }: ManifestDetails): Html {
  return html`<section aria-labelledby="layers">
      <h2 id="layers">
        ${countOf(manifest.layers.length, 'layer')}${platform === undefined ? undefined : ` for ${platform}`}
      </h2>
      <div class="card">
        <table class="wide">
          <caption>
            Layers, the lowest first
          </caption>
          <thead>
            <tr>
              <th scope="col" class="number">#</th>
              <th scope="col">Digest</th>
              <th scope="col" class="number">Size</th>
              <th scope="col">Media type</th>
            </tr>
          </thead>
          <tbody>
            ${manifest.layers.map(
              (layer, at) =>
                html`<tr>
                  <td class="number quiet" data-label="Layer">${at + 1}</td>
                  <th scope="row" class="digest"><code>${layer.digest}</code></th>
                  <td class="number" data-label="Size">${formatBytes(layer.size)}</td>
                  <td data-label="Media type"><code>${layer.mediaType}</code></td>
                </tr> `,
            )}
          </tbody>
        </table>
      </div>
    </section>
    ${config === undefined ? undefined : configSection(config)}
    ${pairsSection('annotations', 'Annotations', Object.entries(manifest.annotations ?? {}))}
    ${config?.config?.Labels === undefined ? undefined : pairsSection('labels', 'Labels', Object.entries(config.config.Labels))}
    ${config?.history === undefined ? undefined : history(config.history)}
    <section aria-labelledby="documents">
      <h2 id="documents">Documents</h2>
      <div class="card">
        <dl class="pairs">
          <dt>Manifest</dt>
          <dd class="digest"><code>${digest}</code></dd>
          <dt>Config</dt>
          <dd class="digest">
            <code>${manifest.config.digest}</code> (${formatBytes(manifest.config.size)})
          </dd>
        </dl>
      </div>
    </section>`;
}

function configSection(config: ImageConfig): Html {
  const { Entrypoint, Cmd, User, WorkingDir, ExposedPorts, Volumes, Env, StopSignal } = config.config ?? {};
  const rows: readonly (readonly [label: string, value: Html | string | undefined])[] = [
    ['Created', createdOf(config.created)],
    ['Author', config.author],
    ['Entrypoint', argumentsOf(Entrypoint)],
    ['Command', argumentsOf(Cmd)],
    ['User', User === '' ? undefined : User],
    ['Directory', WorkingDir === '' ? undefined : WorkingDir],
    ['Ports', listOf(Object.keys(ExposedPorts ?? {}))],
    ['Volumes', listOf(Object.keys(Volumes ?? {}))],
    ['Stop signal', StopSignal],
    ['Environment', Env === undefined ? undefined : lines(Env)],
  ];
  const known = rows.filter(([, value]) => value !== undefined && value !== '');
  if (known.length === 0) return html``;
  return html`<section aria-labelledby="config">
    <h2 id="config">How it runs</h2>
    <div class="card">
      <dl class="pairs">
        ${known.map(
          ([label, value]) =>
            html`<dt>${label}</dt>
              <dd>${value}</dd>`,
        )}
      </dl>
    </div>
  </section>`;
}

/** Only what is a time is marked as one: the text is whatever the builder wrote. */
function createdOf(text: string | undefined): Html | string | undefined {
  if (text === undefined || text === '') return undefined;
  const time = /^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})$/.test(text) ? new Date(text) : undefined;
  if (time === undefined || Number.isNaN(time.getTime())) return text;
  return html`<time datetime="${time.toISOString()}">${time.toISOString().replace(/\.\d+Z$/, 'Z')}</time>`;
}

function argumentsOf(words: readonly string[] | undefined): Html | undefined {
  return words === undefined || words.length === 0 ? undefined : html`<code>${JSON.stringify(words)}</code>`;
}

function listOf(items: readonly string[]): string | undefined {
  return items.length === 0 ? undefined : items.join(', ');
}

function lines(items: readonly string[]): Html | undefined {
  if (items.length === 0) return undefined;
  return html`${items.map((item, at) => html`${at === 0 ? undefined : html`<br />`}<code>${item}</code>`)}`;
}

function pairsSection(
  id: string,
  title: string,
  pairs: readonly (readonly [string, string])[],
): Html | undefined {
  if (pairs.length === 0) return undefined;
  return html`<section aria-labelledby="${id}">
    <h2 id="${id}">${title}</h2>
    <div class="card">
      <dl class="pairs">
        ${pairs.map(
          ([key, value]) =>
            html`<dt><code>${key}</code></dt>
              <dd>${value}</dd>`,
        )}
      </dl>
    </div>
  </section>`;
}

function history(entries: NonNullable<ImageConfig['history']>): Html {
  return html`<section aria-labelledby="history">
    <h2 id="history">History</h2>
    <div class="card">
      <ol class="history">
        ${entries.map(
          ({ created_by: by, comment, empty_layer: empty }) =>
            html`<li>
              <code>${by ?? comment ?? '–'}</code
              >${empty === true ? html` <small>no layer</small>` : undefined}
            </li>`,
        )}
      </ol>
    </div>
  </section>`;
}

function referrers(all: readonly CatalogueReferrer[]): Html {
  const rows = [...all].sort((a, b) => compare(a.kind, b.kind) || compare(a.digest, b.digest));
  return html`<section aria-labelledby="referrers">
    <h2 id="referrers">Signatures, SBOMs and what else comes with it</h2>
    <div class="card">
      <table class="wide">
        <caption>
          What refers to this image
        </caption>
        <thead>
          <tr>
            <th scope="col">Kind</th>
            <th scope="col">Type</th>
            <th scope="col">Digest</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            ({ kind, type, digest }) =>
              html`<tr>
                <td data-label="Kind"><span class="badge good">${kind}</span></td>
                <td data-label="Type"><code>${type}</code></td>
                <th scope="row" class="digest"><code>${digest satisfies Digest}</code></th>
              </tr> `,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
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
  await collect(blobs, target.digest, { found, depth: 0, mediaType: target.mediaType });
  return found;
}

async function collect(
  blobs: BlobProvider,
  digest: Digest,
  o: { readonly found: ManifestDetails[]; readonly depth: number; readonly mediaType?: string },
): Promise<void> {
  if (o.depth > LIMITS.indexDepth || o.found.length >= MOST_MANIFESTS) return;
  const document = (await readDocument(blobs, digest, o.mediaType))?.document;
  if (document === undefined) return;
  if (document.kind === 'index') {
    for (const child of document.manifests) {
      await collect(blobs, child.digest, { ...o, depth: o.depth + 1, mediaType: child.mediaType });
    }
    return;
  }
  const config = await readConfig(blobs, document.config);
  const platform = config === undefined ? undefined : platformOf(config);
  const runs = platform !== undefined && platform.os !== '' && platform.os !== 'unknown';
  o.found.push({ digest, platform: runs ? formatPlatform(platform) : undefined, manifest: document, config });
}
