// The function app on the Flex Consumption plan. HTTP functions scale as one group ("http"), the blob trigger as one
// ("blob"), and every other function separately ("function:NAME").
param suffix string
param location string
param tags object
param identityId string
param identityClientId string
param storageName string
param storageId string
param packageContainerUrl string
param insightsConnectionString string
param apiKeysUri string
param documentsContainer string
param tablePrefix string
param defaultEngine string
param publicEndpoint string
param engineBudgets string
param extraEngines string
@description('Settings of external engines, by name.')
param engines object
@description('Receivers of events: the endpoint of a topic, and webhooks with their allowed hosts.')
param receivers object
@description('Key Vault references of keys and secrets, by the name of the setting.')
param vaultReferences object
param entraTenantId string
param entraAudience string
param entraClientId string
param alwaysReady array
param maximumInstanceCount int
param instanceMemoryMB int
param subnetId string

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: 'plan-labelbridge-${suffix}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { tier: 'FlexConsumption', name: 'FC1' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: 'func-labelbridge-${suffix}'
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        alwaysReady: alwaysReady
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      appSettings: [
        { name: 'AzureWebJobsStorage__accountName', value: storageName }
        { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
        { name: 'AzureWebJobsStorage__clientId', value: identityClientId }
        { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: insightsConnectionString }
        { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'ClientId=${identityClientId};Authorization=AAD' }
        { name: 'AUTH_MODE', value: 'entra' }
        { name: 'API_KEYS', value: '@Microsoft.KeyVault(SecretUri=${apiKeysUri})' }
        { name: 'ENTRA_TENANT_ID', value: entraTenantId }
        { name: 'ENTRA_AUDIENCE', value: entraAudience }
        { name: 'ENTRA_CLIENT_ID', value: entraClientId }
        { name: 'ENTRA_AUTHORITY', value: environment().authentication.loginEndpoint }
        { name: 'TELEMETRY', value: '' }
        { name: 'STORAGE_CLIENT', value: 'rest' }
        { name: 'DOCUMENTS_CONTAINER', value: documentsContainer }
        { name: 'TABLE_PREFIX', value: tablePrefix }
        { name: 'DEFAULT_ENGINE', value: defaultEngine }
        { name: 'EXTRA_ENGINES', value: extraEngines }
        { name: 'ENGINE_BUDGETS', value: engineBudgets }
        { name: 'OPENAI_BASE_URL', value: engines.openAIBaseUrl }
        { name: 'OPENAI_API_KEY', value: vaultReferences.OPENAI_API_KEY }
        { name: 'OPENAI_MODEL', value: engines.openAIModel }
        { name: 'AZURE_OPENAI_ENDPOINT', value: engines.azureOpenAIEndpoint }
        { name: 'AZURE_OPENAI_DEPLOYMENT', value: engines.azureOpenAIDeployment }
        { name: 'AZURE_OPENAI_API_VERSION', value: '2024-10-21' }
        { name: 'AZURE_OPENAI_API_KEY', value: vaultReferences.AZURE_OPENAI_API_KEY }
        { name: 'OPENAI_INPUT_PRICE', value: engines.openAIInputPrice }
        { name: 'OPENAI_OUTPUT_PRICE', value: engines.openAIOutputPrice }
        { name: 'OPENAI_JOB_COST_LIMIT', value: engines.openAIJobCostLimit }
        { name: 'OPENAI_REQUESTS_PER_MINUTE', value: engines.openAIRequestsPerMinute }
        { name: 'OPENAI_TOKENS_PER_MINUTE', value: engines.openAITokensPerMinute }
        { name: 'OPENAI_MAX_ANSWER_TOKENS', value: engines.openAIMaxAnswerTokens }
        { name: 'OPENAI_TIMEOUT_SECONDS', value: '30' }
        { name: 'LANGUAGE_ENDPOINT', value: engines.languageEndpoint }
        { name: 'LANGUAGE_PROJECT', value: engines.languageProject }
        { name: 'LANGUAGE_DEPLOYMENT', value: engines.languageDeployment }
        { name: 'LANGUAGE_KEY', value: vaultReferences.LANGUAGE_KEY }
        { name: 'EVENTS_TOPIC_ENDPOINT', value: receivers.topicEndpoint }
        { name: 'EVENTS_TOPIC_KEY', value: vaultReferences.EVENTS_TOPIC_KEY }
        { name: 'WEBHOOKS', value: receivers.webhooks }
        { name: 'WEBHOOK_HOSTS', value: receivers.webhookHosts }
        { name: 'WEBHOOK_SECRETS', value: vaultReferences.WEBHOOK_SECRETS }
        { name: 'PUBLIC_ENDPOINT', value: publicEndpoint }
        { name: 'COLLECT_WINDOW_SECONDS', value: '2' }
        { name: 'SWEEP_SCHEDULE', value: '0 * * * * *' }
        { name: 'RECONCILE_SCHEDULE', value: '0 0 * * * *' }
        { name: 'SYNC_SCHEDULE', value: '0 */15 * * * *' }
        { name: 'AML_API_VERSION', value: '2024-04-01-preview' }
        { name: 'AML_OFFSET_UNIT', value: 'codePoint' }
        { name: 'FUNCTIONS_REQUEST_BODY_SIZE_LIMIT', value: '33554432' }
        { name: 'AzureWebJobsDisableHomepage', value: 'true' }
        { name: 'PYTHON_THREADPOOL_THREAD_COUNT', value: '4' }
        { name: 'PYTHON_ENABLE_WORKER_EXTENSIONS', value: '1' }
        { name: 'CONTAINER_APP_NAME', value: '' } // has a value on Container Apps only
        { name: 'STORAGE_ACCOUNT_ID', value: storageId }
        { name: 'ARM_ENDPOINT', value: environment().resourceManager }
      ]
    }
  }
}

// Deployments sign in with Entra; the passwords of a publishing profile are of no use.
resource ftpPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource scmPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
