// Alerts; docs/operate.md says what to do for each.
param suffix string
param location string
param tags object
param workspaceId string
param topicId string
@description('Email address for alerts; empty: they are shown in the portal only.')
param email string

var rules = [
  {
    name: 'work-given-up'
    description: 'Work failed five times and was given up.'
    severity: 1
    query: 'AppMetrics | where Name == "labelbridge.work.given_up"'
  }
  {
    name: 'poison-messages'
    description: 'The host could not have a message handled and put it into a poison queue.'
    severity: 1
    query: 'AppMetrics | where Name == "labelbridge.poison_messages"'
  }
  {
    name: 'events-dead-lettered'
    description: 'A webhook or the topic did not take an event in ten attempts.'
    severity: 2
    query: 'AppMetrics | where Name == "labelbridge.events.dead_lettered"'
  }
  {
    name: 'fit-failed'
    description: 'An engine could not be fitted or trained on the labels of a project.'
    severity: 2
    query: 'AppMetrics | where Name == "labelbridge.job.duration" | extend p = todynamic(Properties) | where p.status == "failed" and p.kind in ("fit", "train")'
  }
  {
    name: 'connection-stuck'
    description: 'A connect, switch, sync or disconnect has not moved for 30 minutes.'
    severity: 1
    query: 'AppMetrics | where Name == "labelbridge.connection.step.age" and Max > 1800'
  }
  {
    name: 'sync-late'
    description: 'Labels of Azure Machine Learning have waited for more than an hour.'
    severity: 2
    query: 'AppMetrics | where Name == "labelbridge.sync.lag" and Max > 3600'
  }
  {
    name: 'budget-used-up'
    description: 'A job was refused because the monthly budget of its engine is used up.'
    severity: 3
    query: 'AppMetrics | where Name == "labelbridge.budget.exceeded"'
  }
  {
    name: 'queue-late'
    description: 'Messages have waited in a queue for more than ten minutes.'
    severity: 2
    query: 'AppMetrics | where Name == "labelbridge.queue.age" and Max > 600'
  }
]

resource notify 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-labelbridge-${suffix}'
  location: 'Global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'labelbridge'
    emailReceivers: [{ name: 'operator', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: 'labelbridge-${rule.name}-${suffix}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Labelbridge: ${rule.name}'
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT15M'
      windowSize: 'PT15M'
      autoMitigate: true
      skipQueryValidation: true // a new workspace has no such table until the first metrics arrive
      criteria: {
        allOf: [{ query: rule.query, timeAggregation: 'Count', operator: 'GreaterThan', threshold: 0 }]
      }
      actions: { actionGroups: empty(email) ? [] : [notify.id] }
    }
  }
]

resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'labelbridge-dead-letters-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Event Grid could not deliver events of the storage account.'
    severity: 2
    enabled: true
    scopes: [topicId]
    evaluationFrequency: 'PT15M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'deadLettered'
          metricNamespace: 'Microsoft.EventGrid/systemTopics'
          metricName: 'DeadLetteredCount'
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
        }
      ]
    }
    actions: empty(email) ? [] : [{ actionGroupId: notify.id }]
  }
}
