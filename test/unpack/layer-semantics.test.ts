import { layerSemanticsSuite } from '../suites/layer-semantics.js';
import { FORMS } from '../support/unpacked-forms.js';

for (const form of FORMS) layerSemanticsSuite(form);
