export { fsck } from './fsck.js';
export type { FsckOptions } from './fsck-run.js';
export {
  FSCK_STEPS,
  type FsckProblem,
  type FsckProblemKind,
  type FsckRemark,
  type FsckReport,
  type FsckState,
  type FsckStep,
  type FsckStepName,
} from './report.js';
