// Everything that Labelbridge needs in one resource group. Deployed by `azd up`; see docs/deploy.md.
targetScope = 'subscription'

@minLength(1)
@maxLength(32)
@description('Name of the azd environment; part of the names of all resources.')
param environmentName string

@minLength(1)
@description('Region of all resources.')
param location string

@description('Container whose uploads arrive by the blob trigger.')
param documentsContainer string = 'documents'

@description('More containers with documents, separated by commas, whose uploads arrive by the Event Grid trigger.')
param moreDocumentsContainers string = ''

@minLength(3)
@maxLength(20)
@description('Prefix of the tables, queues and containers of the app.')
param tablePrefix string = 'labelbridge'

@description('Instances that are always ready, by scale group: http, blob, function:run_batch and so on. Empty: scale to zero.')
param alwaysReady array = []

@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@minValue(0)
@maxValue(365)
@description('Days for which deleted blobs and containers can be restored; 0 turns that off.')
param softDeleteDays int = 14

@description('Keep previous versions of blobs.')
param blobVersioning bool = false

@minValue(1)
@maxValue(146000)
@description('Days for which a tombstone cannot be deleted or overwritten.')
param tombstoneRetentionDays int = 36500

@description('The immutability policy of the tombstones is locked; the deployment then omits it, because a locked policy refuses updates.')
param tombstonesLocked bool = false

@description('Email address for alerts; empty: they are shown in the portal only.')
param alertEmail string = ''

@description('Tenant whose tokens are accepted; empty: the tenant of the deployment.')
param entraTenantId string = ''

@description('Application that tokens must be issued for; empty: keys only.')
param entraAudience string = ''

@description('Application that the review page signs in with; empty: the audience.')
param entraClientId string = ''

@secure()
@description('Setting API_KEYS: JSON list of {name, sha256, roles}, or that in base64. Kept in Key Vault. Empty: no keys.')
param apiKeys string = ''

@description('Engine of projects that do not choose one.')
param defaultEngine string = 'embedded'

@description('Setting PUBLIC_ENDPOINT: scheme and host behind your own TLS proxy; empty: those of the request.')
param publicEndpoint string = ''

@description('Setting ENGINE_BUDGETS: JSON, engine name to text records a month for each project; or that in base64. Empty: none.')
param engineBudgets string = ''

@description('Setting EXTRA_ENGINES: JSON, name to module:factory; or that in base64. Empty: none.')
param extraEngines string = ''

@description('Setting OPENAI_BASE_URL: address of a server with the API of OpenAI, for the engine azure-openai. Empty: none.')
param openAIBaseUrl string = ''

@description('Setting OPENAI_MODEL.')
param openAIModel string = ''

@secure()
@description('Setting OPENAI_API_KEY. Kept in Key Vault. Empty: no key.')
param openAIKey string = ''

@description('Resource id of an Azure OpenAI resource for the engine azure-openai; the app may use its models. Empty: none.')
param azureOpenAIId string = ''

@description('Setting AZURE_OPENAI_ENDPOINT; needed with azureOpenAIId.')
param azureOpenAIEndpoint string = ''

@description('Setting AZURE_OPENAI_DEPLOYMENT.')
param azureOpenAIDeployment string = ''

@secure()
@description('Setting AZURE_OPENAI_API_KEY. Kept in Key Vault. Empty: the identity of the app.')
param azureOpenAIKey string = ''

@description('Settings OPENAI_INPUT_PRICE and OPENAI_OUTPUT_PRICE: prices per million tokens. Empty: unknown.')
param openAIInputPrice string = ''
param openAIOutputPrice string = ''

@description('Setting OPENAI_JOB_COST_LIMIT: maximum cost of a job. Empty: no limit.')
param openAIJobCostLimit string = ''

@description('Settings OPENAI_REQUESTS_PER_MINUTE and OPENAI_TOKENS_PER_MINUTE, across all instances. Empty: no limit.')
param openAIRequestsPerMinute string = ''
param openAITokensPerMinute string = ''

@description('Setting OPENAI_MAX_ANSWER_TOKENS: maximum tokens of an answer. Empty: depends on the kind of project.')
param openAIMaxAnswerTokens string = ''

@description('Resource id of a Language resource for the engine azure-language; the app may use its models. Empty: none.')
param languageId string = ''

@description('Allow pushes of projects to the Language resource, which needs the role Cognitive Services Language Owner; without pushes the app only reads it and calls its models.')
param languagePushes bool = false

@description('Setting LANGUAGE_ENDPOINT; needed with languageId.')
param languageEndpoint string = ''

@description('Setting LANGUAGE_PROJECT.')
param languageProject string = ''

@description('Setting LANGUAGE_DEPLOYMENT.')
param languageDeployment string = ''

@secure()
@description('Setting LANGUAGE_KEY. Kept in Key Vault. Empty: the identity of the app.')
param languageKey string = ''

@description('Resource id of an Event Grid custom topic with the CloudEvents schema, which the app may send to. Empty: none.')
param eventsTopicId string = ''

@description('Setting EVENTS_TOPIC_ENDPOINT; needed with eventsTopicId.')
param eventsTopicEndpoint string = ''

@secure()
@description('Setting EVENTS_TOPIC_KEY. Kept in Key Vault. Empty: the identity of the app.')
param eventsTopicKey string = ''

@description('Setting WEBHOOKS: JSON list of {name, url, secret, events, projects}, or that in base64.')
param webhooks string = '[]'

@description('Setting WEBHOOK_HOSTS: JSON list of allowed hosts of webhooks, or that in base64.')
param webhookHosts string = '[]'

@secure()
@description('Setting WEBHOOK_SECRETS: JSON, name to secret or list of secrets, or that in base64. Kept in Key Vault. Empty: none.')
param webhookSecrets string = ''

@description('Resource id of an Azure Machine Learning workspace that projects may be connected with; empty: none.')
param amlWorkspaceId string = ''

@description('Put the storage account and the key vault behind private endpoints in a virtual network.')
param privateNetwork bool = false

// Values that are JSON may be in base64: azd writes variables into the text of main.parameters.json as they are, where
// the quotes of JSON would end the value.
var suffix = uniqueString(subscription().id, environmentName, location)
var moreContainers = empty(moreDocumentsContainers) ? [] : split(replace(moreDocumentsContainers, ' ', ''), ',')
var tags = { 'azd-env-name': environmentName }
var languageOwner = 'f07febfe-79bc-46b1-8b37-790e26e6e498' // Cognitive Services Language Owner
var languageReader = '7628b7b8-a8b2-4cdc-b46f-e9b35248918e' // Cognitive Services Language Reader

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-labelbridge-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  scope: group
  name: 'identity'
  params: { name: 'id-labelbridge-${suffix}', location: location, tags: tags }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  scope: group
  name: 'network'
  params: { name: 'vnet-labelbridge-${suffix}', location: location, tags: tags }
}

module storage 'modules/storage.bicep' = {
  scope: group
  name: 'storage'
  params: {
    name: 'stlabel${suffix}'
    location: location
    tags: tags
    tablePrefix: tablePrefix
    documentsContainers: concat([documentsContainer], moreContainers)
    principalId: identity.outputs.principalId
    softDeleteDays: softDeleteDays
    blobVersioning: blobVersioning
    tombstoneRetentionDays: tombstoneRetentionDays
    tombstonesLocked: tombstonesLocked
    readsAssignments: !empty(amlWorkspaceId)
    privateNetwork: privateNetwork
  }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  name: 'monitoring'
  params: { suffix: suffix, location: location, tags: tags, principalId: identity.outputs.principalId }
}

module vault 'modules/vault.bicep' = {
  scope: group
  name: 'vault'
  params: {
    name: 'kv-label-${take(suffix, 12)}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
    apiKeys: empty(apiKeys) ? '[]' : (startsWith(apiKeys, '[') ? apiKeys : base64ToString(apiKeys))
    secrets: {
      OPENAI_API_KEY: openAIKey
      AZURE_OPENAI_API_KEY: azureOpenAIKey
      LANGUAGE_KEY: languageKey
      EVENTS_TOPIC_KEY: eventsTopicKey
      WEBHOOK_SECRETS: empty(webhookSecrets) || startsWith(webhookSecrets, '{') ? webhookSecrets : base64ToString(webhookSecrets)
    }
    privateNetwork: privateNetwork
  }
}

module endpoints 'modules/endpoints.bicep' = if (privateNetwork) {
  scope: group
  name: 'endpoints'
  params: {
    suffix: suffix
    location: location
    tags: tags
    virtualNetworkId: network.?outputs.id ?? ''
    subnetId: network.?outputs.endpointsSubnetId ?? ''
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

module aml 'modules/aml.bicep' = if (!empty(amlWorkspaceId)) {
  scope: resourceGroup(split('${amlWorkspaceId}////////', '/')[2], split('${amlWorkspaceId}////////', '/')[4])
  name: 'labelbridge-aml-${take(suffix, 6)}'
  params: { workspaceName: last(split(amlWorkspaceId, '/')), principalId: identity.outputs.principalId }
}

module azureOpenAI 'modules/service.bicep' = if (!empty(azureOpenAIId)) {
  scope: resourceGroup(split('${azureOpenAIId}////////', '/')[2], split('${azureOpenAIId}////////', '/')[4])
  name: 'labelbridge-openai-${take(suffix, 6)}'
  params: {
    accountName: last(split(azureOpenAIId, '/'))
    principalId: identity.outputs.principalId
    roleId: '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd' // Cognitive Services OpenAI User
  }
}

module language 'modules/service.bicep' = if (!empty(languageId)) {
  scope: resourceGroup(split('${languageId}////////', '/')[2], split('${languageId}////////', '/')[4])
  name: 'labelbridge-language-${take(suffix, 6)}'
  params: {
    accountName: last(split(languageId, '/'))
    principalId: identity.outputs.principalId
    roleId: languagePushes ? languageOwner : languageReader
  }
}

module eventsTopic 'modules/topic.bicep' = if (!empty(eventsTopicId)) {
  scope: resourceGroup(split('${eventsTopicId}////////', '/')[2], split('${eventsTopicId}////////', '/')[4])
  name: 'labelbridge-topic-${take(suffix, 6)}'
  params: { topicName: last(split(eventsTopicId, '/')), principalId: identity.outputs.principalId }
}

module app 'modules/app.bicep' = {
  scope: group
  name: 'app'
  dependsOn: [endpoints] // the platform reads the vault and the storage account when it creates the app
  params: {
    suffix: suffix
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    storageId: storage.outputs.id
    packageContainerUrl: storage.outputs.packageContainerUrl
    insightsConnectionString: monitoring.outputs.connectionString
    apiKeysUri: vault.outputs.apiKeysUri
    documentsContainer: documentsContainer
    tablePrefix: tablePrefix
    defaultEngine: defaultEngine
    publicEndpoint: publicEndpoint
    engineBudgets: empty(engineBudgets) ? '{}' : (startsWith(engineBudgets, '{') ? engineBudgets : base64ToString(engineBudgets))
    extraEngines: empty(extraEngines) ? '{}' : (startsWith(extraEngines, '{') ? extraEngines : base64ToString(extraEngines))
    engines: {
      openAIBaseUrl: openAIBaseUrl
      openAIModel: openAIModel
      azureOpenAIEndpoint: azureOpenAIEndpoint
      azureOpenAIDeployment: azureOpenAIDeployment
      openAIInputPrice: openAIInputPrice
      openAIOutputPrice: openAIOutputPrice
      openAIJobCostLimit: openAIJobCostLimit
      openAIRequestsPerMinute: openAIRequestsPerMinute
      openAITokensPerMinute: openAITokensPerMinute
      openAIMaxAnswerTokens: openAIMaxAnswerTokens
      languageEndpoint: languageEndpoint
      languageProject: languageProject
      languageDeployment: languageDeployment
    }
    receivers: {
      topicEndpoint: eventsTopicEndpoint
      webhooks: startsWith(webhooks, '[') ? webhooks : base64ToString(webhooks)
      webhookHosts: startsWith(webhookHosts, '[') ? webhookHosts : base64ToString(webhookHosts)
    }
    vaultReferences: {
      OPENAI_API_KEY: empty(openAIKey) ? '' : '@Microsoft.KeyVault(SecretUri=${vault.outputs.uri}secrets/openai-api-key)'
      AZURE_OPENAI_API_KEY: empty(azureOpenAIKey) ? '' : '@Microsoft.KeyVault(SecretUri=${vault.outputs.uri}secrets/azure-openai-api-key)'
      LANGUAGE_KEY: empty(languageKey) ? '' : '@Microsoft.KeyVault(SecretUri=${vault.outputs.uri}secrets/language-key)'
      EVENTS_TOPIC_KEY: empty(eventsTopicKey) ? '' : '@Microsoft.KeyVault(SecretUri=${vault.outputs.uri}secrets/events-topic-key)'
      WEBHOOK_SECRETS: empty(webhookSecrets) ? '' : '@Microsoft.KeyVault(SecretUri=${vault.outputs.uri}secrets/webhook-secrets)'
    }
    entraTenantId: empty(entraTenantId) ? tenant().tenantId : entraTenantId
    entraAudience: entraAudience
    entraClientId: entraClientId
    alwaysReady: alwaysReady
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    subnetId: network.?outputs.appSubnetId ?? ''
  }
}

module events 'modules/events.bicep' = {
  scope: group
  name: 'events'
  params: {
    suffix: suffix
    location: location
    tags: tags
    storageName: storage.outputs.name
    tablePrefix: tablePrefix
    workspaceId: monitoring.outputs.workspaceId
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  name: 'alerts'
  params: {
    suffix: suffix
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    topicId: events.outputs.topicId
    email: alertEmail
  }
}

module workbook 'modules/workbook.bicep' = {
  scope: group
  name: 'workbook'
  params: { suffix: suffix, location: location, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

output AZURE_RESOURCE_GROUP string = group.name
output FUNCTION_APP_NAME string = app.outputs.name
output FUNCTION_APP_URL string = app.outputs.url
output STORAGE_ACCOUNT_NAME string = storage.outputs.name
output SYSTEM_TOPIC_NAME string = events.outputs.topicName
output DEAD_LETTER_ENDPOINT string = events.outputs.deadLetterEndpoint
output DOCUMENTS_CONTAINER string = documentsContainer
output MORE_DOCUMENTS_CONTAINERS string = join(moreContainers, ',')
output TABLE_PREFIX string = tablePrefix
