// No infrastructure, no deployment.
const { Container } = require('kelda');

new Container({ name: 'web', image: 'nginx' });
