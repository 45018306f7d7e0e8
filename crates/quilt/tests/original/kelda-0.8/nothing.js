// No infrastructure, no deployment.
const { Container } = require('kelda');

new Container('web', 'nginx');
