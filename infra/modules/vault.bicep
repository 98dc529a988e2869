// Key Vault with the settings that are secret: API_KEYS, keys of engines and of the topic, secrets of webhooks.
param name string
param location string
param tags object
param principalId string
param privateNetwork bool
@secure()
param apiKeys string
@description('Keys and secrets by the name of their setting; those that are empty are left out.')
@secure()
param secrets object

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6' // Key Vault Secrets User

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
    publicNetworkAccess: privateNetwork ? 'disabled' : 'enabled'
  }
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'api-keys'
  properties: { value: apiKeys, contentType: 'application/json' }
}

var settings = ['OPENAI_API_KEY', 'AZURE_OPENAI_API_KEY', 'LANGUAGE_KEY', 'EVENTS_TOPIC_KEY', 'WEBHOOK_SECRETS']

resource optionalSecrets 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = [for name in settings: if (!empty(secrets[name])) {
  parent: vault
  name: toLower(replace(name, '_', '-'))
  properties: { value: secrets[name] }
}]

resource assignment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, principalId, secretsUser)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

output id string = vault.id
output apiKeysUri string = secret.properties.secretUri
output uri string = vault.properties.vaultUri
