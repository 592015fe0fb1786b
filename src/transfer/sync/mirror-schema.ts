import type { JsonObject } from '../../spec/index.js';

/** The parts of the schema that stand at several places of the file. */
const TEXTS = { type: 'array', items: { type: 'string', minLength: 1 } } as const;
const TEXT_OR_TEXTS = { type: ['string', 'array'], minLength: 1, items: { type: 'string', minLength: 1 } };

const TAGS: JsonObject = {
  description: 'Which tags: a list of them, or rules that the tags of the repository are held against.',
  type: ['array', 'object'],
  items: { type: ['string', 'number'] },
  additionalProperties: false,
  properties: {
    list: {
      description: 'These tags, whatever the rules say. Without any rule, these alone.',
      type: 'array',
      items: { type: ['string', 'number'] },
    },
    include: {
      description: 'Regular expressions; a tag is taken when one of them matches all of it.',
      ...TEXT_OR_TEXTS,
    },
    exclude: {
      description: 'Regular expressions; a tag is left out when one of them matches all of it.',
      ...TEXT_OR_TEXTS,
    },
    semver: { description: 'A range of versions, such as ">=1.2 <3" or "^1.4 || ~2.0".', type: 'string' },
    prereleases: {
      description:
        'Whether versions with a hyphen count: 1.0.0-rc.1, 3.20-slim. Without it a range takes those that it names.',
      type: 'boolean',
    },
    newest: {
      description: 'At most so many, the newest by version or by when the image was made.',
      type: ['integer', 'object'],
      minimum: 1,
      required: ['count'],
      additionalProperties: false,
      properties: {
        count: { type: 'integer', minimum: 1 },
        by: { enum: ['semver', 'created'], default: 'semver' },
      },
    },
    since: {
      description: 'Made at that moment or later: 2025-01-31, 2025-01-31T12:00:00Z, or 90d for so long ago.',
      type: 'string',
      minLength: 1,
    },
  },
};

const PLATFORMS: JsonObject = {
  description: '"all", or the platforms that are wanted: [linux/amd64, linux/arm64].',
  type: ['string', 'array'],
  minLength: 1,
  minItems: 1,
  items: { type: 'string', minLength: 1 },
};

const REFERRERS: JsonObject = {
  description: 'Whether signatures, SBOMs and the like come along, and which of them.',
  type: ['boolean', 'object'],
  additionalProperties: false,
  properties: {
    types: { description: 'Only those of these artifact types.', ...TEXTS, minItems: 1 },
    cosignTags: {
      description: "Whether tags by cosign's scheme (sha256-….sig, .att, .sbom) count.",
      type: 'boolean',
      default: true,
    },
  },
};

const TO: JsonObject = {
  description: 'The repository at the destination instead of the same name: mirror/app, hub/{repository}.',
  type: 'string',
  minLength: 1,
};

const CONNECTION = {
  authFile: { description: 'Credentials as docker keeps them.', type: 'string', minLength: 1 },
  credentials: {
    description: 'A user, and where the password is found; never the password itself.',
    type: 'object',
    additionalProperties: false,
    required: ['username'],
    properties: {
      username: { type: 'string', minLength: 1 },
      passwordEnv: { description: 'A variable of the environment.', type: 'string', minLength: 1 },
      passwordFile: { description: 'A file with the password alone.', type: 'string', minLength: 1 },
    },
  },
  tls: {
    type: 'object',
    additionalProperties: false,
    properties: {
      ca: { description: 'Authorities that are trusted too, in PEM.', type: 'string', minLength: 1 },
      insecure: { description: 'Takes any certificate.', type: 'boolean' },
      plainHttp: { description: 'Speaks HTTP without TLS.', type: 'boolean' },
      clientCert: {
        description: 'Shown to a registry that asks for it.',
        type: 'object',
        additionalProperties: false,
        required: ['cert', 'key'],
        properties: { cert: { type: 'string', minLength: 1 }, key: { type: 'string', minLength: 1 } },
      },
    },
  },
  limits: {
    type: 'object',
    additionalProperties: false,
    properties: {
      rate: { description: 'Bytes per second that are read there: 500K, 10M.', type: ['string', 'integer'] },
      requestsPerSecond: { type: 'number', exclusiveMinimum: 0 },
      connections: { type: 'integer', minimum: 1, maximum: 256 },
    },
  },
} satisfies JsonObject;

const REWRITE_INDEX: JsonObject = {
  description:
    'With platforms: makes a new index of them alone, which has another digest, for registries that take no index of which parts are missing.',
  type: 'boolean',
  default: false,
};

const OF_IMAGES = {
  platforms: PLATFORMS,
  rewriteIndex: REWRITE_INDEX,
  referrers: REFERRERS,
  to: TO,
} satisfies JsonObject;

/**
 * What a `mirror.yaml` may hold, as JSON Schema. docs/mirror.schema.json is this for editors; what it cannot
 * say (a range of versions, a platform, a regular expression) is looked at afterwards.
 */
export const MIRROR_SCHEMA: JsonObject = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'landfall mirror file',
  description: 'A declared set of images for `landfall sync`.',
  type: 'object',
  additionalProperties: false,
  required: ['sources'],
  patternProperties: { '^x-': { description: 'Yours: anchors, notes. It is not looked at.' } },
  properties: {
    version: { description: 'Of the form of this file.', type: 'integer', enum: [1] },
    concurrency: { description: 'Images at once.', type: 'integer', minimum: 1, maximum: 256, default: 8 },
    defaults: {
      description: 'For every source that does not say otherwise.',
      type: 'object',
      additionalProperties: false,
      properties: { platforms: PLATFORMS, rewriteIndex: REWRITE_INDEX, referrers: REFERRERS },
    },
    sources: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        additionalProperties: false,
        properties: {
          registry: { description: 'The host: quay.io, registry.lan:5000.', type: 'string', minLength: 1 },
          from: {
            description: 'In place of a registry: oci:DIR, oci-archive:FILE or store.',
            type: 'string',
            minLength: 1,
          },
          repositories: {
            type: 'array',
            minItems: 1,
            items: {
              description:
                'A name, or a pattern in which * stands for part of a component and ** for any text.',
              type: ['string', 'object'],
              minLength: 1,
              additionalProperties: false,
              properties: {
                name: { type: 'string', minLength: 1 },
                regex: {
                  description: 'In place of a name: what the whole name has to match.',
                  type: 'string',
                  minLength: 1,
                },
                exclude: { description: 'Patterns of names that are not meant.', ...TEXT_OR_TEXTS },
                tags: TAGS,
                ...OF_IMAGES,
              },
            },
          },
          images: {
            type: 'array',
            minItems: 1,
            items: {
              description: 'team/app:1.2, team/app@sha256:…, team/app (its tag latest).',
              type: ['string', 'object'],
              minLength: 1,
              required: ['name'],
              additionalProperties: false,
              properties: { name: { type: 'string', minLength: 1 }, ...OF_IMAGES },
            },
          },
          tags: TAGS,
          ...OF_IMAGES,
          ...CONNECTION,
        },
      },
    },
    destinations: {
      type: 'array',
      minItems: 1,
      items: {
        type: ['string', 'object'],
        minLength: 1,
        required: ['to'],
        additionalProperties: false,
        properties: {
          to: {
            description: 'docker://HOST[/PATH], oci:DIR, oci-archive:FILE or store.',
            type: 'string',
            minLength: 1,
          },
          prefix: {
            description: "What stands before every repository's name.",
            type: 'string',
            minLength: 1,
          },
          path: {
            description:
              'How repositories are called: a text with {registry}, {repository} and {name} in it.',
            type: 'string',
            minLength: 1,
          },
          ...CONNECTION,
        },
      },
    },
  },
};

/** The keys of skopeo's form, to which {@link SKOPEO_SCHEMA} holds each registry. */
export const SKOPEO_KEYS: readonly string[] = [
  'images',
  'images-by-tag-regex',
  'images-by-semver',
  'credentials',
  'tls-verify',
  'cert-dir',
];

/** What `skopeo sync --src yaml` reads. An empty value is as good as none. */
export const SKOPEO_SCHEMA: JsonObject = {
  type: 'object',
  additionalProperties: {
    type: ['object', 'string'],
    maxLength: 0,
    additionalProperties: false,
    properties: {
      images: {
        type: ['object', 'string'],
        maxLength: 0,
        additionalProperties: {
          type: ['array', 'string'],
          maxLength: 0,
          items: { type: ['string', 'number'] },
        },
      },
      'images-by-tag-regex': {
        type: ['object', 'string'],
        maxLength: 0,
        additionalProperties: { type: 'string' },
      },
      'images-by-semver': {
        type: ['object', 'string'],
        maxLength: 0,
        additionalProperties: { type: 'string' },
      },
      credentials: {
        type: ['object', 'string'],
        maxLength: 0,
        additionalProperties: false,
        properties: {
          username: { type: 'string' },
          password: { type: 'string' },
          identitytoken: { type: 'string' },
        },
      },
      'tls-verify': { type: 'boolean' },
      'cert-dir': { type: 'string' },
    },
  },
};
