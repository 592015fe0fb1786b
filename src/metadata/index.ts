export { DamagedDatabase, type ReadRows } from './damaged-database.js';
export {
  mayHaveLost,
  hasNotDurable,
  IN_DOUBT,
  type MarkedTable,
  MetadataDatabase,
  type OpenDatabaseOptions,
  makeDurable,
  type Statements,
  type Transaction,
  type TransactionScope,
} from './database.js';
export { MIGRATIONS, type Migration, SCHEMA_VERSION } from './migrate.js';
export { probeSqlite } from './probe-sqlite.js';
export {
  dateOf,
  integerOf,
  jsonOf,
  labelsOf,
  optionalIntegerOf,
  optionalTextOf,
  type Row,
  type SqlValue,
  textOf,
} from './row.js';
export { corruptDatabase, type RunOutcome, type SqlParameters } from './sqlite-connection.js';
