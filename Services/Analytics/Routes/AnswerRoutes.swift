import ServiceKit

/// Everything that is answered, on one way to the rows.
struct AnswerRoutes {
    let answers: Answers
    let realtime: RealtimeHub

    var endpoints: Endpoints {
        Endpoints([
            OverviewRoutes(answers: answers).endpoints, KPIRoutes(answers: answers).endpoints, ReportRoutes(answers: answers).endpoints,
            QueryRoutes(answers: answers).endpoints, BehaviourRoutes(answers: answers).endpoints, PageRoutes(answers: answers).endpoints,
            ExperimentRoutes(answers: answers).endpoints, RealtimeRoutes(hub: realtime).endpoints,
        ])
    }
}
