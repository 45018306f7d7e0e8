// Of several deployments the last is printed; numbers and names go on.
const { Container, Service, createDeployment } = require('@quilt/quilt');

createDeployment({ namespace: 'first' }).deploy(new Service('web', [new Container('nginx')]));
createDeployment().deploy(new Service('web', [new Container('nginx')]));
