// Nothing is created: there is a deployment all the same.
const { Container, Service, getDeployment } = require('@quilt/quilt');

new Service('web', [new Container('nginx')]).deploy(getDeployment());
