export { fsck } from './fsck.js';
export {
  FSCK_STEPS,
  type FsckOptions,
  type FsckProblem,
  type FsckProblemKind,
  type FsckRemark,
  type FsckReport,
  type FsckState,
  type FsckStep,
  type FsckStepName,
} from './fsck-run.js';
