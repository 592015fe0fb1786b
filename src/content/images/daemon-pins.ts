import { type MetadataDatabase, type Statements, textOf } from '../../metadata/index.js';
import { isGlob, matchesGlob } from '../../spec/index.js';

/**
 * Pins of the daemons that serve a store: canonical names, and globs over them, which need not be here. They
 * outlast their daemon, so that nothing is collected while it is restarted; a daemon is known by the path of
 * its socket, and replaces its own. A pin that a user sets is part of the image's record.
 */
export class DaemonPins {
  readonly #database: MetadataDatabase;

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /** Replaces all pins of a daemon. Where they are the same already, nothing is written. */
  async replace(daemon: string, pins: Iterable<string>): Promise<void> {
    const wanted = [...new Set(pins)].sort();
    const rows = await this.#database.all(
      'SELECT pattern FROM daemon_pins WHERE daemon = ? ORDER BY pattern',
      [daemon],
    );
    if (JSON.stringify(rows.map((row) => textOf(row, 'pattern'))) === JSON.stringify(wanted)) return;
    await this.#database.transaction(async (transaction) => {
      await transaction.run('DELETE FROM daemon_pins WHERE daemon = ?', [daemon]);
      await transaction.run('INSERT INTO daemon_pins (daemon, pattern) SELECT ?1, value FROM json_each(?2)', [
        daemon,
        JSON.stringify(wanted),
      ]);
    });
  }

  /** Takes away the pins of exactly this name. */
  async remove(name: string): Promise<void> {
    await this.#database.run('DELETE FROM daemon_pins WHERE pattern = ?', [name]);
  }

  /** Which daemons pin images of a canonical name: paths of their sockets, sorted. */
  async of(statements: Statements = this.#database): Promise<(name: string) => readonly string[]> {
    const rows = await statements.all('SELECT daemon, pattern FROM daemon_pins ORDER BY daemon');
    const exact = new Map<string, string[]>();
    const globs: { readonly daemon: string; readonly pattern: string }[] = [];
    for (const row of rows) {
      const [daemon, pattern] = [textOf(row, 'daemon'), textOf(row, 'pattern')];
      if (isGlob(pattern)) globs.push({ daemon, pattern });
      else exact.set(pattern, [...(exact.get(pattern) ?? []), daemon]);
    }
    return (name) => {
      const fitting = globs.filter(({ pattern }) => matchesGlob(pattern, name));
      return [...new Set([...(exact.get(name) ?? []), ...fitting.map(({ daemon }) => daemon)])].sort();
    };
  }
}
