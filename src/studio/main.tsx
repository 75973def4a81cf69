import { render } from 'preact';
import { App } from './app/app.tsx';
import { createStudio } from './app/studio.ts';
import './ui/base.css';
import './app/app.css';
import './images/images.css';
import './prompt/prompt.css';
import './parameters/parameters.css';
import './jobs/jobs.css';
import './result/result.css';
import './history/history.css';
import './operator/operator.css';
import './signin/signin.css';

const root = document.getElementById('studio');
if (root === null) throw new Error('The document has no #studio');
const studio = createStudio({ baseUrl: new URL('.', document.baseURI), window });
render(<App studio={studio} />, root);
studio.start();
