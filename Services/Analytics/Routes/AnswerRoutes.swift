import ServiceKit

/// Everything that is answered, by one engine.
struct AnswerRoutes {
    let engine: any AnalyticsEngine
    let realtime: RealtimeHub

    var endpoints: Endpoints {
        Endpoints([
            OverviewRoutes(engine: engine).endpoints, KPIRoutes(engine: engine).endpoints, ReportRoutes(engine: engine).endpoints,
            QueryRoutes(engine: engine).endpoints, BehaviourRoutes(engine: engine).endpoints, PageRoutes(engine: engine).endpoints,
            ExperimentRoutes(engine: engine).endpoints, RealtimeRoutes(hub: realtime).endpoints,
        ])
    }
}
