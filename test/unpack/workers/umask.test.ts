import { umaskSuite } from '../../suites/umask.js';

umaskSuite(true);
