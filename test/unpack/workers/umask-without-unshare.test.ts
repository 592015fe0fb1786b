import { umaskSuite } from '../../suites/umask.js';
import { forbidUnshare } from '../../support/without-call.js';

/* In a container whose filter has no unshare. */
forbidUnshare();

umaskSuite(false);
