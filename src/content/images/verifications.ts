import {
  dateOf,
  type MetadataDatabase,
  optionalTextOf,
  type Row,
  type Statements,
  textOf,
} from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';

/** That a requirement of a signature policy was met, as the store remembers it. */
export interface Verification {
  /** Of the manifest or index that was signed. */
  readonly digest: Digest;
  /** What the image was called: a canonical reference where it had one. */
  readonly name: string;
  /** Digest of all that was asked for; see `SignatureRequirement.fingerprint`. */
  readonly requirement: string;
  /** Path of the policy's file, and the scope in it that decided. */
  readonly policy: string;
  readonly scope: string;
  /** For people: the key, or whom the certificate was for. */
  readonly signedBy: string;
  /** What the signature says that it is for; undefined where it does not say. */
  readonly identity?: string | undefined;
  readonly format: string;
  /** Of the signature's manifest. */
  readonly signature: Digest;
  readonly verifiedAt: Date;
}

/**
 * Which requirements the images of a store were found to meet. A database that is made anew takes none of it
 * over from the old one: they are verified again, from the signatures that are kept.
 */
export class VerificationStore {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /**
   * Those of some manifests and indexes, the oldest first; with a name, only those of images that were called
   * so.
   */
  async about(digests: Iterable<Digest>, name?: string): Promise<readonly Verification[]> {
    const rows = await this.#database.all(
      `SELECT * FROM verifications WHERE digest IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR name = ?2)
       ORDER BY verified_at, name, requirement`,
      [JSON.stringify([...digests]), name ?? null],
    );
    return rows.map(verificationOf);
  }

  /** Remembers some; what was known of the same requirement, name and digest is replaced. */
  async put(verifications: readonly Verification[], statements?: Statements): Promise<void> {
    if (verifications.length === 0) return;
    const rows = verifications.map((one) => [
      one.digest,
      one.name,
      one.requirement,
      one.policy,
      one.scope,
      one.signedBy,
      one.identity ?? null,
      one.format,
      one.signature,
      one.verifiedAt.getTime(),
    ]);
    await (statements ?? this.#database).run(
      `INSERT OR REPLACE INTO verifications
         (digest, name, requirement, policy, scope, signed_by, identity, format, signature, verified_at)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
         value ->> 8, value ->> 9 FROM json_each(?)`,
      [JSON.stringify(rows)],
    );
  }
}

/** Forgets what was verified of manifests that go. */
export async function forgetVerifications(statements: Statements, digests: Iterable<Digest>): Promise<void> {
  await statements.run('DELETE FROM verifications WHERE digest IN (SELECT value FROM json_each(?))', [
    JSON.stringify([...digests]),
  ]);
}

function verificationOf(row: Row): Verification {
  return {
    digest: parseDigest(textOf(row, 'digest')),
    name: textOf(row, 'name'),
    requirement: textOf(row, 'requirement'),
    policy: textOf(row, 'policy'),
    scope: textOf(row, 'scope'),
    signedBy: textOf(row, 'signed_by'),
    identity: optionalTextOf(row, 'identity'),
    format: textOf(row, 'format'),
    signature: parseDigest(textOf(row, 'signature')),
    verifiedAt: dateOf(row, 'verified_at'),
  };
}
