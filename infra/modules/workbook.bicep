// A workbook of the app's telemetry.
param suffix string
param location string
param tags object
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid('labelbridge', suffix)
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Labelbridge ${suffix}'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: loadTextContent('../workbook.json')
  }
}
